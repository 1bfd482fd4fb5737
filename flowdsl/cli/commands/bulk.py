"""flowdsl runs retry, move, cancel, pause, resume, delete: one verb on many runs."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from flowdsl.cli import arguments
from flowdsl.cli.bulk_view import TurnView, either, refusal_lines, report_text, turns_table
from flowdsl.cli.connection import connected
from flowdsl.cli.console import emit, err, note, out, say
from flowdsl.cli.exit_code import ExitCode
from flowdsl.cli.filter_names import FilterNames
from flowdsl.cli.problem import UsageProblem
from flowdsl.cli.target import status_member, workflow_named
from flowdsl.clock import SystemClock
from flowdsl.engine.bulk import DEFAULT_RATE, ForcibleOptions
from flowdsl.engine.bulk_operation import BulkOperation
from flowdsl.engine.bulk_turns import Turn
from flowdsl.engine.engine import Engine
from flowdsl.model.bulk import STATES, BulkReport, BulkVerb
from flowdsl.model.condition import FIELDS, METADATA, Op
from flowdsl.model.where import Where

SHOWN = 20
"""Runs that a dry run lists for people."""
OTHERS = 100
"""Runs that are looked at for their states when the verb can act on none."""
_RATE = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(?:/([smh]))?", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, None: 1}

Which = Annotated[
    str | None,
    typer.Option("--where", metavar="CONDITIONS", help='Which runs, e.g. "state=paused and status=paid and error~timeout".'),
]
Why = Annotated[str | None, typer.Option("--reason", "-r", help="Why; it is kept with every run and in the audit trail.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Tell what would happen; change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before it begins.")]
Rate = Annotated[str, typer.Option("--rate", metavar="N[/s|/m|/h]", help="How fast, e.g. 50/s or 10/m; none: no limit.")]
Limit = Annotated[int | None, typer.Option("--limit", "-n", min=1, help="At most this many runs.")]
Continue = Annotated[str | None, typer.Option("--continue", metavar="ID", help="Go on with an operation that was interrupted.")]
Force = Annotated[bool, typer.Option("--force", help="Do not wait for running steps: their results are discarded.")]
FIELDS_HELP = "Fields of --where: " + ", ".join(FIELDS) + f", {METADATA}NAME. Operators: {' '.join(op.value for op in Op)}."
_RATE_TEXT = f"{DEFAULT_RATE:g}/s"


def add_bulk(group: typer.Typer) -> None:
    """Add the commands to the group."""
    for command in (retry, move, pause, resume, cancel, delete):
        group.command(epilog=FIELDS_HELP)(command)


def retry(
    where: Which = None,
    reason: Why = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    rate: Rate = _RATE_TEXT,
    limit: Limit = None,
    go_on: Continue = None,
    actor: arguments.Actor = None,
    store: arguments.Store = None,
    app: arguments.App = None,
    namespace: arguments.Namespace = None,
    json: arguments.Json = False,
) -> None:
    """Run failed steps again now: of runs that errors paused, and of those that wait for the next attempt."""
    with connected(store, app, namespace) as engine:
        options: ForcibleOptions = {"actor": actor, "rate": parse_rate(rate), "limit": limit}
        _Command(engine, BulkVerb.RETRY, where, reason, None, options, json).carry_out(dry_run, yes, go_on)


def move(
    to: Annotated[str | None, typer.Option("--to", metavar="STATUS", help="Where to.")] = None,
    where: Which = None,
    reason: Why = None,
    force: Force = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    rate: Rate = _RATE_TEXT,
    limit: Limit = None,
    go_on: Continue = None,
    actor: arguments.Actor = None,
    store: arguments.Store = None,
    app: arguments.App = None,
    namespace: arguments.Namespace = None,
    json: arguments.Json = False,
) -> None:
    """Put unfinished runs into another status, by hand. --where names the workflow; needs its code (--app)."""
    if to is None and go_on is None:
        raise UsageProblem("--to is missing.", remedy="Say where to: --to STATUS.")
    with connected(store, app, namespace) as engine:
        options: ForcibleOptions = {"actor": actor, "rate": parse_rate(rate), "limit": limit, "force": force}
        _Command(engine, BulkVerb.MOVE, where, reason, to, options, json).carry_out(dry_run, yes, go_on)


def pause(
    where: Which = None,
    reason: Why = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    rate: Rate = _RATE_TEXT,
    limit: Limit = None,
    go_on: Continue = None,
    actor: arguments.Actor = None,
    store: arguments.Store = None,
    app: arguments.App = None,
    namespace: arguments.Namespace = None,
    json: arguments.Json = False,
) -> None:
    """Pause runs. Steps that are running finish first; their commits apply the pause."""
    with connected(store, app, namespace) as engine:
        options: ForcibleOptions = {"actor": actor, "rate": parse_rate(rate), "limit": limit}
        _Command(engine, BulkVerb.PAUSE, where, reason, None, options, json).carry_out(dry_run, yes, go_on)


def resume(
    where: Which = None,
    reason: Why = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    rate: Rate = _RATE_TEXT,
    limit: Limit = None,
    go_on: Continue = None,
    actor: arguments.Actor = None,
    store: arguments.Store = None,
    app: arguments.App = None,
    namespace: arguments.Namespace = None,
    json: arguments.Json = False,
) -> None:
    """Let paused runs go on, whoever paused them."""
    with connected(store, app, namespace) as engine:
        options: ForcibleOptions = {"actor": actor, "rate": parse_rate(rate), "limit": limit}
        _Command(engine, BulkVerb.RESUME, where, reason, None, options, json).carry_out(dry_run, yes, go_on)


def cancel(
    where: Which = None,
    reason: Why = None,
    force: Force = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    rate: Rate = _RATE_TEXT,
    limit: Limit = None,
    go_on: Continue = None,
    actor: arguments.Actor = None,
    store: arguments.Store = None,
    app: arguments.App = None,
    namespace: arguments.Namespace = None,
    json: arguments.Json = False,
) -> None:
    """End runs. Steps that are running finish first, so that what they did is not forgotten."""
    with connected(store, app, namespace) as engine:
        options: ForcibleOptions = {"actor": actor, "rate": parse_rate(rate), "limit": limit, "force": force}
        _Command(engine, BulkVerb.CANCEL, where, reason, None, options, json).carry_out(dry_run, yes, go_on)


def delete(
    where: Which = None,
    reason: Why = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    rate: Rate = _RATE_TEXT,
    limit: Limit = None,
    go_on: Continue = None,
    actor: arguments.Actor = None,
    store: arguments.Store = None,
    app: arguments.App = None,
    namespace: arguments.Namespace = None,
    json: arguments.Json = False,
) -> None:
    """Erase the data of finished runs; workers of their workflows do it. It cannot be undone."""
    with connected(store, app, namespace) as engine:
        options: ForcibleOptions = {"actor": actor, "rate": parse_rate(rate), "limit": limit}
        _Command(engine, BulkVerb.DELETE, where, reason, None, options, json).carry_out(dry_run, yes, go_on)


class _Command:
    """One of the commands, with what it was given."""

    def __init__(
        self,
        engine: Engine,
        verb: BulkVerb,
        where: str | None,
        reason: str | None,
        to: str | None,
        options: ForcibleOptions,
        json: bool,
    ) -> None:
        self._engine = engine
        self._verb = verb
        self._where = where
        self._reason = reason
        self._to = to
        self._options = options
        self._json = json
        self._names: FilterNames | None = None

    def carry_out(self, dry_run: bool, yes: bool, go_on: str | None) -> None:
        """Do it. A --continue needs nothing else; everything else needs --where and --reason."""
        if go_on is not None:
            if dry_run or self._where is not None or self._reason is not None or self._to is not None:
                raise UsageProblem("--continue goes on with what was ordered.", remedy="Give nothing beside it but --rate.")
            operation = self._engine.bulk.begin_again(go_on, rate=self._options.get("rate"))
            if operation.order.verb is not self._verb:
                raise UsageProblem(
                    f"operation {go_on} is a {operation.order.verb.value}.",
                    remedy=f"flowdsl runs {operation.order.verb.value} --continue {go_on}",
                )
            self._run(operation, None)
            return
        if self._where is None:
            raise UsageProblem("--where is missing.", remedy='Say which runs, e.g. --where "state=paused and error~timeout".')
        if self._reason is None:
            raise UsageProblem("--reason is missing.", remedy="Say why: it is kept with every run.")
        self._names = FilterNames.of_where(self._engine, self._where)
        self._names.stored()  # refuses what there is not: nobody means to do something to no run at all
        if dry_run:
            self._look(self._where, self._reason)
            return
        total = None if yes else self._asked(self._where, self._reason)
        if total != 0:
            self._run(self._begin(self._where, self._reason), total)

    def _begin(
        self, where: str, reason: str, *, dry_run: bool = False, seen: Callable[[Turn], None] | None = None
    ) -> BulkOperation:
        to = self._status(where) if self._to is not None else None
        options: ForcibleOptions = {**self._options, "dry_run": dry_run, "seen": seen}
        return self._engine.bulk.begin(self._verb, where, reason=reason, to=to, **options)

    def _status(self, where: str) -> str | None:
        """The stored text of --to: where the code of the one workflow is at hand, a member's name will do."""
        query = Where.parse(where).query(self._engine.namespace, SystemClock().now())
        named = query.workflows if query is not None else ()
        if len(named) != 1 or not self._engine.workflows:
            return self._to
        workflow = workflow_named(self._engine, named[0])
        return workflow.key(status_member(workflow, self._to or ""))

    def _look(self, where: str, reason: str) -> None:
        turns: list[Turn] = []
        report = self._begin(where, reason, dry_run=True, seen=turns.append).run()
        if self._json:
            for turn in turns:
                emit(TurnView.of(turn))
            self._explain_nothing(report)
            return
        out().print(turns_table(turns[:SHOWN]))
        if len(turns) > SHOWN:
            note(f"... and {len(turns) - SHOWN} more; --json lists all.")
        self._tell(report)

    def _asked(self, where: str, reason: str) -> int:
        """How many runs it is about, after somebody has agreed."""
        if not _somebody_is_there() or self._json:
            raise UsageProblem("nobody is there to ask.", remedy="Look with --dry-run first, then give --yes.")
        report = self._begin(where, reason, dry_run=True).run()
        self._tell(report)
        if report.done:
            typer.confirm("Do it?", abort=True, err=True)
        return report.done

    def _tell(self, report: BulkReport) -> None:
        say(report_text(self._verb, report))
        for line in refusal_lines(report):
            say(f"  {line}")
        self._explain_nothing(report)

    def _explain_nothing(self, report: BulkReport) -> None:
        """Say what was looked for when no run was found."""
        if report.turns or self._where is None or self._names is None:
            return
        allowed = STATES[self._verb]
        note(f"{self._verb.value} acts on runs that are {either(allowed)}; none of these matches: {self._where}")
        if Where.parse(self._where).narrowed:  # else the store would have to be read from end to end once more
            page = self._engine.bulk.select(self._where, limit=OTHERS)
            found = Counter(run.state for run in page.runs if run.state not in allowed)
            if found:
                each = ", ".join(f"{number} {state.label.lower()}" for state, number in sorted(found.items()))
                note(f"{'The newest' if page.next is not None else 'Those'} that match are in other states: {each}.")
                return
        for line in self._names.notes():
            note(line)

    def _run(self, operation: BulkOperation, total: int | None) -> None:
        identity = operation.order.operation
        note(f"Operation {identity}")
        with _bar(self._verb, total, hidden=self._json) as progress:
            try:
                report = operation.run(progress)
            except KeyboardInterrupt:
                note(f"Stopped. flowdsl runs {self._verb.value} --continue {identity} goes on.")
                raise typer.Exit(ExitCode.INTERRUPTED) from None
        if self._json:
            emit(report)
            self._explain_nothing(report)
        else:
            self._tell(report)
        if report.refused:
            raise typer.Exit(ExitCode.NOT_ALLOWED)


def _somebody_is_there() -> bool:
    return sys.stdin.isatty()


@contextmanager
def _bar(verb: BulkVerb, total: int | None, *, hidden: bool) -> Generator[Callable[[BulkReport], None] | None]:
    """A progress bar on standard error, where that is a terminal."""
    console = err()
    if hidden or not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(verb.value, total=total)
        yield lambda report: progress.update(task, completed=report.turns)


def parse_rate(text: str) -> float | None:
    """Runs a second; None: no limit."""
    if text == "none":
        return None
    found = _RATE.fullmatch(text)
    rate = float(found[1]) / _SECONDS[found[2]] if found is not None else 0.0
    if rate <= 0:
        raise UsageProblem(f"--rate {text!r} is no rate.", remedy="Write e.g. 50/s, 10/m, 100/h or none.")
    return rate
