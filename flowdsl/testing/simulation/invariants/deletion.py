"""I12: what was deleted is nowhere."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from flowdsl.model.item import ItemKind
from flowdsl.model.run_state import RunState
from flowdsl.testing.simulation.evidence import Evidence
from flowdsl.testing.simulation.invariants.violation import Violation
from flowdsl.testing.simulation.workload import secret_of


class Letter(msgspec.Struct):
    """What the checker knows of a dead letter."""

    run_id: str


def deleted_is_gone(evidence: Evidence) -> Iterator[Violation]:
    """I12, deleted data is nowhere: of a run whose data was deleted the store holds no object, reason, error or payload of its
    own, in the run, its history, its rows, dead letters or any other item."""
    for run_id, record in evidence.runs.items():
        if record.state is not RunState.DATA_DELETED:
            continue
        secret = secret_of(record.foreign_id)
        told = [record.reason, record.last_error, record.requested and record.requested.reason]
        told += [text for row in evidence.histories[run_id] for text in (row.reason, row.error)]
        told += [row.last_error for row in evidence.rows[run_id]]
        data = [b"" if record.payload is None else record.payload.data, *(row.payload or b"" for row in evidence.rows[run_id])]
        if any(text and secret in text for text in told) or any(secret.encode() in one for one in data):
            yield Violation("I12", "its data was deleted, and some of it is still in it", run_id)
        for item in evidence.items:
            mine = item.key == run_id and secret.encode() in item.body
            if mine or (item.kind == ItemKind.DEAD_LETTER and msgspec.json.decode(item.body, type=Letter).run_id == run_id):
                yield Violation("I12", f"its data was deleted, and a {item.kind} of it is left", run_id)
