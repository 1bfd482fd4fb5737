"""Verbs on many runs at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import TypedDict, Unpack

import msgspec

from flowdsl.engine.audit import entries
from flowdsl.engine.bulk_operation import BulkOperation, item_key
from flowdsl.engine.bulk_turns import Turn
from flowdsl.engine.control import default_actor
from flowdsl.engine.core import Core
from flowdsl.engine.loop_guard import refuse_on_loop
from flowdsl.errors import BadDataError, ConfigurationError, IllegalMoveError, OperationError
from flowdsl.model.bulk import BulkOrder, BulkReport, BulkState, BulkVerb, OperationEntry
from flowdsl.model.condition import Op, Subject, WhereError
from flowdsl.model.item import ItemKind
from flowdsl.model.limits import unfit_note
from flowdsl.model.query import MAX_PAGE, Cursor, Order, Page
from flowdsl.model.record import RunRecord
from flowdsl.model.where import Where

DEFAULT_RATE = 50.0
"""Runs a second: enough to mend 1,000 in twenty seconds, and not enough to overrun what they wait for."""


class BulkOptions(TypedDict, total=False):
    """What any verb may be told. All may be left out."""

    actor: str | None
    """Who does it; left out: the user of this process."""
    rate: float | None
    """Runs a second; None: as fast as it goes. Default: 50."""
    limit: int | None
    """At most this many runs."""
    dry_run: bool
    """Look and change nothing: `done` counts the runs that would be changed."""
    seen: Callable[[Turn], None] | None
    """Told of each run that had its turn."""
    progress: Callable[[BulkReport], None] | None
    """Told how far it is."""


class ForcibleOptions(BulkOptions, total=False):
    """What a move or cancel may be told."""

    force: bool
    """Do not wait for a running step, and discard its result."""


class Bulk:
    """`engine.bulk`: each verb does one thing to all runs that a `where` means, and answers with a report when it is done.

    In: `where`, e.g. "state=paused and status=paid and error~timeout" (see `flowdsl.model.where`); `reason`, kept in the history
    of each run and in the audit trail. A run that refuses is counted and does not keep the others from their turn. An operation
    that was interrupted is gone on with by its id. Raises WhereError, BadDataError, ConfigurationError, OperationError, and
    OperationStoppedError when the store did not answer: nothing is lost.
    """

    def __init__(self, core: Callable[[], Core]) -> None:
        self._core = core

    def retry(self, where: str, *, reason: str, **options: Unpack[BulkOptions]) -> BulkReport:
        """Runs that errors paused, whose failed step waits for its next attempt, or whose step answered skip: try them now."""
        return self._carry_out(self.begin(BulkVerb.RETRY, where, reason=reason, **options), options)

    def move(self, where: str, *, to: Enum | str, reason: str, **options: Unpack[ForcibleOptions]) -> BulkReport:
        """Put unfinished runs into another status. `where` has to name the workflow, whose code has to be at hand."""
        return self._carry_out(self.begin(BulkVerb.MOVE, where, reason=reason, to=to, **options), options)

    def pause(self, where: str, *, reason: str, **options: Unpack[BulkOptions]) -> BulkReport:
        return self._carry_out(self.begin(BulkVerb.PAUSE, where, reason=reason, **options), options)

    def resume(self, where: str, *, reason: str, **options: Unpack[BulkOptions]) -> BulkReport:
        return self._carry_out(self.begin(BulkVerb.RESUME, where, reason=reason, **options), options)

    def cancel(self, where: str, *, reason: str, **options: Unpack[ForcibleOptions]) -> BulkReport:
        return self._carry_out(self.begin(BulkVerb.CANCEL, where, reason=reason, **options), options)

    def delete(self, where: str, *, reason: str, **options: Unpack[BulkOptions]) -> BulkReport:
        """Ask for the data of finished runs to be erased; workers of their workflows do it."""
        return self._carry_out(self.begin(BulkVerb.DELETE, where, reason=reason, **options), options)

    def go_on(self, operation: str, **options: Unpack[BulkOptions]) -> BulkReport:
        """Go on with an operation that was interrupted, by its id. `rate`, `seen` and `progress` may be given anew."""
        return self._carry_out(self.begin_again(operation, **options), options)

    def select(self, where: str, *, order: Order = Order.NEWEST_FIRST, limit: int = 25, after: Cursor | None = None) -> Page:
        """One page of the runs that are meant; pass `page.next` as `after` for the following one. What the store cannot be asked
        for is looked at run by run. Raises WhereError, QueryError."""
        refuse_on_loop("engine.bulk.select", "engine.aio.bulk.select")
        core, meaning = self._core(), Where.parse(where)
        now = core.store.now()
        found: list[RunRecord] = []
        size = limit if meaning.narrowed else MAX_PAGE
        while True:
            query = meaning.query(core.namespace, now, order=order, limit=size, after=after)
            if query is None:
                return Page([], None)
            page = core.store.runs(query)
            rows = core.store.rows([record.run_id for record in page.runs]) if meaning.reads_rows else ()
            steps = {row.run_id: row for row in rows if row.row_id == row.run_id}
            for record in page.runs:
                if len(found) == limit:
                    return Page(found, Cursor(found[-1].created_at, found[-1].run_id))
                if meaning.holds(Subject(record, steps.get(record.run_id), now)):
                    found.append(record)
            after = page.next
            if after is None:
                return Page(found, None)

    def audit(self, *, limit: int = 25, after: str = "") -> Sequence[OperationEntry]:
        """Operations on many runs, migrations among them, newest first; pass the last one's `key` as `after` for those that
        follow. Raises QueryError for an `after` that is no key."""
        refuse_on_loop("engine.bulk.audit", "engine.aio.bulk.audit")
        return entries(self._core(), limit, after)

    def begin(
        self,
        verb: BulkVerb,
        where: str,
        *,
        reason: str,
        to: Enum | str | None = None,
        **options: Unpack[ForcibleOptions],
    ) -> BulkOperation:
        """An operation that is stored as begun and has given nobody a turn yet: `run()` it, or `step()` through it."""
        refuse_on_loop(f"engine.bulk.{verb.value}", f"engine.aio.bulk.{verb.value}")
        core = self._core()
        meaning = Where.parse(where)
        actor = options.get("actor") or default_actor()
        if not isinstance(reason, str) or not reason.strip():
            raise BadDataError("an operation needs a reason.", remedy="Say why: it is kept with every run.")
        if problem := unfit_note(reason=reason, actor=actor):
            raise BadDataError(f"{problem}.")
        limit, dry_run = options.get("limit"), options.get("dry_run", False)
        if limit is not None and limit < 1:
            raise ConfigurationError(f"limit={limit} lets no run have a turn.", remedy="Give 1 or more, or None for all.")
        to_status = str(to.value) if isinstance(to, Enum) else to
        if verb is BulkVerb.MOVE:
            self._check_target(core, meaning, to_status)
        order = BulkOrder(
            operation=core.ids(),
            verb=verb,
            where=where,
            reason=reason,
            actor=actor,
            at=core.store.now(),
            to_status=to_status,
            force=options.get("force", False),
            limit=limit,
        )
        state = BulkState(order=order, report=BulkReport(operation=order.operation))
        operation = BulkOperation(core, state, rate=_rate(options), dry_run=dry_run, seen=options.get("seen"))
        operation.begin()
        return operation

    def begin_again(self, operation: str, **options: Unpack[BulkOptions]) -> BulkOperation:
        """An operation that was interrupted, from where it was. Raises OperationError."""
        refuse_on_loop("engine.bulk.go_on", "engine.aio.bulk.go_on")
        core = self._core()
        found = core.store.items(core.namespace, ItemKind.BULK, item_key(operation, 0), 1)
        if not found or not found[0].key.startswith(f"{operation}/"):
            raise OperationError(f"there is no operation {operation!r}.", remedy="flowdsl audit lists them.")
        state = msgspec.json.decode(found[0].body, type=BulkState)
        if state.report.finished:
            raise OperationError(f"operation {operation} is finished.", remedy="flowdsl audit shows what became of it.")
        number = int(found[0].key.rpartition("/")[2])
        return BulkOperation(core, state, number=number, rate=_rate(options), seen=options.get("seen"))

    def _carry_out(self, operation: BulkOperation, options: BulkOptions) -> BulkReport:
        return operation.run(options.get("progress"))

    def _check_target(self, core: Core, where: Where, status: str | None) -> None:
        """A typing mistake must not become as many refusals as there are runs."""
        query = where.query(core.namespace, core.clock.now())
        named = query.workflows if query is not None else ()
        if not any(condition.name == "workflow" and condition.op in (Op.IS, Op.IN) for condition in where.conditions):
            raise WhereError("a move has to name the workflow.", remedy="Begin with workflow=NAME and ...")
        for name in named:
            workflow = core.workflows.get(name)
            if workflow is None:
                raise ConfigurationError(
                    f"the code of workflow {name!r} is not at hand, so its statuses are not known.",
                    remedy="Name the workflow when the engine is made (command line: --app MODULE:ENGINE).",
                )
            statuses = workflow.definition().statuses
            if status not in statuses:
                raise IllegalMoveError(
                    f"no run of {name} can be moved to {status!r}.",
                    workflow=name,
                    remedy=f"Its statuses are {', '.join(sorted(statuses))}.",
                )


def _rate(options: BulkOptions) -> float | None:
    rate = options.get("rate", DEFAULT_RATE)
    if rate is not None and not 0 < rate < float("inf"):
        raise ConfigurationError(f"rate={rate} is not a number of runs a second.", remedy="Give a number above 0, or None.")
    return rate
