"""Between positional rows and the model: which columns, in which order, and how they become values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from flowdsl.model.history import Cause, HistoryRow
from flowdsl.model.instance import Instance
from flowdsl.model.item import Item
from flowdsl.model.pending import PendingRow, RowKind
from flowdsl.model.record import ControlRequest, Payload, RunRecord
from flowdsl.model.run_state import RunState
from flowdsl_sql.database import to_datetime

Row = Sequence[Any]
STATES = [RunState(number) for number in range(len(RunState))]
KINDS = {int(kind): kind for kind in RowKind}
CAUSES = {cause.value: cause for cause in Cause}
NOTHING: Mapping[str, str] = {}

RUN = (
    "run_id, namespace, workflow, foreign_id, status, state, version, visit, payload, content_type, schema_version, created, "
    "updated, change_id, reason, actor, last_error, auto_resumes, requested_state, requested_reason, requested_actor, "
    "metadata, tags, parent_run_id, priority, task"
)
PENDING = (
    "row_id, namespace, workflow, topic, kind, receiver, run_id, version, visit, due, created, priority, owner, delivery, "
    "attempts, lapses, last_error, payload, remaining"
)
HISTORY = (
    "run_id, version, from_status, to_status, from_state, to_state, cause, name, actor, reason, error, attempt, change_id, at"
)
ITEM = "namespace, kind, item_key, body, due, created"
INSTANCE = "owner, host, pid, pid_started, expires"

_text_map = msgspec.json.Decoder(dict[str, str])
_text_tuple = msgspec.json.Decoder(tuple[str, ...])


def json_or_none(value: object) -> str | None:
    """A mapping or tuple as it is stored; empty ones are not."""
    return msgspec.json.encode(value).decode() if value else None


def run_record(row: Row) -> RunRecord:
    payload = row[8]
    return RunRecord(
        run_id=row[0],
        namespace=row[1],
        workflow=row[2],
        foreign_id=row[3],
        status=row[4],
        state=STATES[row[5]],
        version=row[6],
        visit=row[7],
        payload=None if payload is None else Payload(bytes(payload), row[9], row[10]),
        created_at=to_datetime(row[11]),
        updated_at=to_datetime(row[12]),
        change_id=row[13],
        reason=row[14],
        actor=row[15],
        last_error=row[16],
        auto_resumes=row[17],
        requested=control_request(row[18], row[19], row[20]),
        metadata=NOTHING if row[21] is None else _text_map.decode(row[21]),
        tags=() if row[22] is None else _text_tuple.decode(row[22]),
        parent_run_id=row[23],
        priority=row[24],
        task_version=row[25],
    )


def control_request(state: int | None, reason: str | None, actor: str | None) -> ControlRequest | None:
    return None if state is None else ControlRequest(STATES[state], reason or "", actor or "")


def pending_row(row: Row) -> PendingRow:
    due, payload, remaining = row[9], row[17], row[18]
    return PendingRow(
        row_id=row[0],
        namespace=row[1],
        workflow=row[2],
        topic=row[3],
        kind=KINDS.get(row[4], RowKind.UNKNOWN),
        receiver=row[5],
        run_id=row[6],
        version=row[7],
        visit=row[8],
        due_at=None if due is None else to_datetime(due),
        created_at=to_datetime(row[10]),
        priority=row[11],
        owner=row[12],
        delivery=row[13],
        attempts=row[14],
        lapses=row[15],
        last_error=row[16],
        payload=None if payload is None else bytes(payload),
        remaining=None if remaining is None else timedelta(microseconds=remaining),
    )


def _told_state(number: int) -> RunState:
    """Of what is only told: newer code may know states that this one does not."""
    return STATES[number] if 0 <= number < len(STATES) else RunState.UNKNOWN


def history_row(row: Row) -> HistoryRow:
    return HistoryRow(
        run_id=row[0],
        version=row[1],
        from_status=row[2],
        to_status=row[3],
        from_state=_told_state(row[4]),
        to_state=_told_state(row[5]),
        cause=CAUSES.get(row[6], Cause.UNKNOWN),
        name=row[7],
        actor=row[8],
        reason=row[9],
        error=row[10],
        attempt=row[11],
        change_id=row[12],
        at=to_datetime(row[13]),
    )


def item(row: Row) -> Item:
    return Item(
        namespace=row[0],
        kind=row[1],
        key=row[2],
        body=bytes(row[3]),
        due_at=None if row[4] is None else to_datetime(row[4]),
        created_at=to_datetime(row[5]),
    )


def instance(row: Row) -> Instance:
    return Instance(owner=row[0], host=row[1], pid=row[2], pid_started=row[3], expires_at=to_datetime(row[4]))
