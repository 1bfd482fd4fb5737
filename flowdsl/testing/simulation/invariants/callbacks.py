"""I1 and I3 for callbacks: one that was accepted is applied exactly once, or is still there for people to see."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import msgspec

from flowdsl.model.callback_result import CallbackOutcome
from flowdsl.model.dead_letter import DeadLetter
from flowdsl.model.item import ItemKind
from flowdsl.model.pending import RowKind
from flowdsl.testing.simulation.evidence import Evidence
from flowdsl.testing.simulation.invariants.states import ERASED
from flowdsl.testing.simulation.invariants.violation import Violation
from flowdsl.testing.simulation.journal import Answer, Call, Kind

NOT_STORED = frozenset(CallbackOutcome) - {CallbackOutcome.APPLIED, CallbackOutcome.KEPT}


class Kept(msgspec.Struct):
    """What the checker knows of a kept callback's row."""

    data: bytes


def callbacks_kept(evidence: Evidence) -> Iterator[Violation]:
    """I1, callbacks: one that was applied is in its run's object exactly once; one that was kept is there once, or waits beside
    its run, or is a dead letter of a run that ended first, or its function skipped it, and is never in two of these places; one
    that was refused is nowhere; of all that carry one idempotency key at most one is applied, and a duplicate has an original."""
    if not evidence.journal.calls:
        return
    erased = {record.foreign_id for record in evidence.runs.values() if record.state in ERASED}
    applied = Counter(
        entry.partition("!")[2] for record in evidence.runs.values() for entry in evidence.trail(record) if "!" in entry
    )
    skipped = {one.task for one in evidence.journal.executions if one.kind is Kind.CALLBACK and one.answer is Answer.SKIP}
    waiting, buried = _waiting(evidence), _buried(evidence)
    for call in evidence.journal.calls:
        if call.foreign_id in erased:
            continue
        places = applied[call.call_id] + waiting[call.call_id] + buried[call.call_id]
        if places > 1:
            yield Violation("I3", f"callback {call.call_id} is in {places} places", call.run_id)
        if call.outcome is CallbackOutcome.APPLIED and not applied[call.call_id]:
            yield Violation("I1", f"callback {call.call_id} was said to be applied, and its run knows nothing of it", call.run_id)
        if call.outcome is CallbackOutcome.KEPT and not places and call.call_id not in skipped:
            yield Violation("I1", f"callback {call.call_id} was kept, and is nowhere", call.run_id)
        if call.outcome in NOT_STORED and places:
            yield Violation("I1", f"callback {call.call_id} was answered {call.outcome}, and is stored", call.run_id)
    yield from _keys(evidence, applied)


def _waiting(evidence: Evidence) -> Counter[str]:
    rows = [row for rows in evidence.rows.values() for row in rows if row.kind is RowKind.CALLBACK and row.payload is not None]
    return Counter(_id_in(msgspec.json.decode(row.payload or b"", type=Kept).data) for row in rows)


def _buried(evidence: Evidence) -> Counter[str]:
    letters = [item for item in evidence.items if item.kind == ItemKind.DEAD_LETTER]
    return Counter(_id_in(msgspec.json.decode(item.body, type=DeadLetter).body) for item in letters)


def _id_in(payload: bytes) -> str:
    return payload.partition(b" ")[0].decode()


def _keys(evidence: Evidence, applied: Mapping[str, int]) -> Iterator[Violation]:
    by_key: dict[tuple[str, str], list[Call]] = {}
    for call in evidence.journal.calls:
        if call.key is not None:
            by_key.setdefault((call.workflow, call.key), []).append(call)
    for (_, key), calls in by_key.items():
        if sum(applied.get(call.call_id, 0) for call in calls) > 1:
            yield Violation("I3", f"callbacks of the idempotency key {key} were applied more than once", calls[0].run_id)
        accepted = any(call.outcome in (CallbackOutcome.APPLIED, CallbackOutcome.KEPT, None) for call in calls)
        if not accepted and any(call.outcome is CallbackOutcome.DUPLICATE for call in calls):
            yield Violation("I1", f"a callback of the idempotency key {key} was called a duplicate of nothing", calls[0].run_id)
