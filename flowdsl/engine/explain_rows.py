"""Why the rows of a run wait: who has them, when they are due, and who would take them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cached_property

import msgspec
from msgspec.structs import replace

from flowdsl.engine.core import Core
from flowdsl.engine.kept_callback import KeptCallback
from flowdsl.engine.presence import Topics, consumers
from flowdsl.engine.sentence import count, moment, stopped
from flowdsl.model.explanation import Because, Reason
from flowdsl.model.instance import Instance
from flowdsl.model.pending import PendingRow, RowKind
from flowdsl.model.record import RunRecord
from flowdsl.model.run_state import RunState
from flowdsl.model.span import span_text

RETRY = "flowdsl retry, or handle.retry(), runs the step now."
START = "Start one with the workflow's code: flowdsl run MODULE:ENGINE."


class RowExplainer:
    """In: the run, the store's time, and what its step is called."""

    def __init__(self, core: Core, record: RunRecord, now: datetime, step: str) -> None:
        self._core = core
        self._record = record
        self._now = now
        self._step = step

    @cached_property
    def _instances(self) -> Mapping[str, Instance]:
        return {instance.owner: instance for instance in self._core.store.instances(self._core.namespace)}

    @cached_property
    def _consumers(self) -> Mapping[str, Topics | None]:
        return {instance.owner: topics for instance, topics in consumers(self._core)}

    def step(self, row: PendingRow) -> Iterator[Reason]:
        """Of the run's step row."""
        name, failures = self._step, row.attempts + row.lapses
        if row.owner is not None:
            yield self._claimed(row, name)
        elif row.due_at is None:
            sentence = f"{name} answered skip: nothing happens to the run until something else moves it."
            yield Reason(because=Because.PARKED, sentence=sentence, remedy=RETRY)
        elif row.due_at <= self._now:
            after = f", after {count(failures, 'failed attempt')}" if failures else ""
            error = f"; the last error was {stopped(row.last_error)}" if row.last_error else "."
            sentence = f"{name} is due since {moment(row.due_at)} and in nobody's hands{after}{error}"
            yield Reason(because=Because.DUE, sentence=sentence, at=row.due_at)
            yield from self._takers(row)
        elif failures:
            yield self._retrying(row, row.due_at)
        else:
            lane = self._core.topics.get(row.topic)
            lag = None if lane is None else lane.options.consume_lag
            why = "." if lag is None else f": its consume_lag of {span_text(lag)} is not over."
            yield Reason(because=Because.NOT_DUE, sentence=f"{name} is not due before {moment(row.due_at)}{why}", at=row.due_at)

    def _retrying(self, row: PendingRow, due: datetime) -> Reason:
        lane, attempt = self._core.topics.get(row.topic), row.attempts + row.lapses + 1
        limit = lane.options.pause_after_err_count if lane is not None else 0
        of = f" of {limit}" if limit else ""
        lost = f", {row.lapses} of them lost with their worker" if row.lapses else ""
        error = f"; the last error was {stopped(row.last_error)}" if row.last_error else "."
        return Reason(
            because=Because.RETRYING,
            sentence=f"{self._step} is tried again at {moment(due)}, attempt {attempt}{of}, after "
            f"{count(attempt - 1, 'failed attempt')}{lost}{error}",
            at=due,
            remedy=RETRY,
        )

    def beside(self, row: PendingRow) -> Iterator[Reason]:
        """Of a row beside the step row."""
        match row.kind:
            case RowKind.TIMEOUT:
                yield from self._waiting(row, Because.TIMEOUT, f"Timeout {row.receiver!r}")
            case RowKind.CALLBACK:
                yield from self._kept(row)
            case RowKind.HOOK:
                hook = row.topic.rpartition("/")[2]
                event = "completion" if row.receiver == "complete" else row.receiver
                yield from self._waiting(row, Because.HOOK, f"Telling hook {hook!r} of the {event}")
            case RowKind.DELETION:
                yield from self._waiting(row, Because.DELETION, "The erasing of its data")
            case _:  # newer code's
                return

    def _kept(self, row: PendingRow) -> Iterator[Reason]:
        kept = None if row.payload is None else msgspec.json.decode(row.payload, type=KeptCallback)
        by = f" by {kept.actor}" if kept is not None else ""
        name = f"A callback{by} for status {row.receiver!r}"
        if row.due_at is not None or row.owner is not None:
            yield from self._waiting(row, Because.CALLBACK_KEPT, name)
            return
        until = f" until {moment(kept.expires_at)}" if kept is not None and kept.expires_at is not None else ""
        here = self._record.status == row.receiver  # it waits for a resume, then
        when = "is resumed" if here and self._record.state is RunState.PAUSED else f"enters {row.receiver!r}"
        sentence = f"{name} is kept{until}: it is applied when the run {when}."
        yield Reason(because=Because.CALLBACK_KEPT, sentence=sentence, at=row.created_at)

    def _waiting(self, row: PendingRow, because: Because, name: str) -> Iterator[Reason]:
        error = f", because the last attempt failed: {stopped(row.last_error)}" if row.last_error else "."
        if row.owner is not None:
            claimed = self._claimed(row, name)
            yield replace(claimed, because=because) if claimed.because is Because.EXECUTING else claimed
        elif row.due_at is None:
            why = "stands still while the run is paused." if self._record.state is RunState.PAUSED else "has no time."
            yield Reason(because=because, sentence=f"{name} {why}")
        elif row.due_at > self._now:
            yield Reason(because=because, sentence=f"{name} is due at {moment(row.due_at)}{error}", at=row.due_at)
        else:
            yield Reason(because=because, sentence=f"{name} is due since {moment(row.due_at)}{error}", at=row.due_at)
            yield from self._takers(row)

    def _claimed(self, row: PendingRow, name: str) -> Reason:
        owner, attempt = row.owner or "", row.attempts + row.lapses + 1
        instance = self._instances.get(owner)
        if instance is None:
            return Reason(
                because=Because.CLAIM_LAPSED,
                sentence=f"{name} was in the hands of instance {owner}, which is gone: another instance frees and takes it.",
                remedy="See that one is alive.",
            )
        where = f" on {instance.machine}" if instance.machine else ""
        process = f" (process {instance.pid}{where})" if instance.pid else ""
        sentence = f"{name} is being executed by instance {owner}{process}, attempt {attempt}."
        if instance.expires_at is not None:
            sentence += f" Unless it is heard of before, it counts as gone at {moment(instance.expires_at)}."
        return Reason(because=Because.EXECUTING, sentence=sentence, at=instance.expires_at)

    def _takers(self, row: PendingRow) -> Iterator[Reason]:
        """Who could take a row that is due, and what stands before it."""
        said = self._consumers
        if not said:
            yield Reason(because=Because.NO_INSTANCE, sentence="No instance is alive: nobody works on runs.", remedy=START)
            return
        takers = [owner for owner, topics in said.items() if topics is None or row.topic in topics]
        if not takers:
            lane = self._core.topics.get(row.topic)
            slots = lane.options.parallel_count if lane is not None else None
            roles = f" Nobody holds any of its {count(slots, 'consumer role')}." if slots else ""
            sentence = f"{count(len(said), 'instance')} alive, of which none consumes it.{roles}"
            yield Reason(because=Because.NO_CONSUMER, sentence=sentence, remedy=START)
            return
        depth = self._core.store.depths(self._core.namespace, [row.topic]).get(row.topic)
        if depth is not None and depth.due > 1:
            sentence = f"{count(depth.due - 1, 'other run')} due there as well, the first for {span_text(depth.oldest)}; "
            yield Reason(because=Because.BEHIND, sentence=f"{sentence}{count(len(takers), 'instance')} to take them.")
