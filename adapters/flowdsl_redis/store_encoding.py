"""Between the model and what the scripts and Redis hold: MessagePack maps with short names, bytes apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from flowdsl.model.change import (
    Change,
    CommitOutcome,
    CommitResult,
    DropRow,
    FailRow,
    MoveRun,
    ParkRow,
    PutItems,
    Refusal,
    ReleaseRow,
    RequestControl,
    StartRun,
)
from flowdsl.model.history import Cause, HistoryRow, Origin
from flowdsl.model.instance import Instance
from flowdsl.model.item import ItemKey, NewItem
from flowdsl.model.pending import NewRow, PendingRow, RowKind
from flowdsl.model.record import ControlRequest, Payload, RunRecord
from flowdsl.model.run_state import RunState

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
NOTHING: Mapping[str, str] = {}
_pack = msgspec.msgpack.Encoder().encode
_json_map = msgspec.json.Decoder(dict[str, str]).decode
_json_tags = msgspec.json.Decoder(tuple[str, ...]).decode


def to_micros(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND


def to_datetime(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


class ChangeEncoder:
    """Changes of one commit as a script takes them: maps, and the bytes that they name by number."""

    def __init__(self) -> None:
        self.blobs: list[bytes] = []
        self._maps: list[dict[str, Any]] = []

    def add(self, change: Change) -> None:
        self._maps.append({name: value for name, value in self._of(change).items() if value is not None})

    def packed(self) -> bytes:
        return _pack(self._maps)

    def _of(self, change: Change) -> dict[str, Any]:
        match change:
            case MoveRun():
                return {"k": "move", "id": change.change_id, **self._move(change)}
            case StartRun():
                return {"k": "start", "id": change.change_id, **self._start(change)}
            case RequestControl():
                wanted = change.request
                request = {"state": int(wanted.state), "reason": wanted.reason, "actor": wanted.actor}
                return {"k": "request", "id": change.change_id, "run": change.run_id, **request}
            case PutItems():
                items = {"items": self._items(change.items), "drop": _keys(change.drop)}
                return {"k": "put", "id": change.change_id, "ns": change.namespace, **items}
            case FailRow():
                return {"k": "fail", **_claim(change), "error": change.error, "delay": change.delay // MICROSECOND}
            case ReleaseRow():
                return {"k": "release", **_claim(change)}
            case ParkRow():
                return {"k": "park", **_claim(change)}
            case DropRow():
                return {"k": "drop", **_claim(change)}

    def _start(self, change: StartRun) -> dict[str, Any]:
        return {
            "ns": change.namespace,
            "wf": change.workflow,
            "run": change.run_id,
            "fid": change.foreign_id,
            "st": change.status,
            **self._payload(change.payload),
            "origin": _origin(change.origin),
            "row": self._row(change.row),
            "side": self._rows(change.side_rows),
            "items": self._items(change.items),
            "md": msgspec.json.encode(change.metadata).decode() if change.metadata else None,
            "tags": msgspec.json.encode(change.tags).decode() if change.tags else None,
            "par": change.parent_run_id,
            "pr": change.priority,
        }

    def _move(self, change: MoveRun) -> dict[str, Any]:
        return {
            "ns": change.namespace,
            "run": change.run_id,
            "ver": change.version,
            "st": change.to_status,
            "state": int(change.to_state),
            **self._payload(change.payload),
            "origin": _origin(change.origin),
            "row": self._row(change.row),
            "side": self._rows(change.side_rows),
            "settle": change.settle,
            "items": self._items(change.items),
            "drop": _keys(change.drop_items),
            "new_visit": change.new_visit or None,
            "new_task": change.new_task or None,
            "ar": change.auto_resumes,
            "unless_claimed": change.unless_claimed or None,
            "honour": change.honour_request or None,
        }

    def _blob(self, data: bytes) -> int:
        self.blobs.append(data)
        return len(self.blobs)

    def _payload(self, payload: Payload | None) -> dict[str, Any]:
        if payload is None:
            return {}
        return {"payload": self._blob(payload.data), "ct": payload.content_type, "sv": payload.schema_version}

    def _rows(self, rows: Sequence[NewRow]) -> list[dict[str, Any] | None] | None:
        return [self._row(row) for row in rows] or None

    def _row(self, row: NewRow | None) -> dict[str, Any] | None:
        if row is None:
            return None
        new: dict[str, Any] = {
            "row": row.row_id,
            "topic": row.topic,
            "kind": int(row.kind),
            "rcv": row.receiver,
            "pr": row.priority,
        }
        if row.delay is not None:
            new["delay"] = row.delay // MICROSECOND
        if row.owner is not None:
            new["own"] = row.owner
        if row.payload is not None:
            new["payload"] = self._blob(row.payload)
        return new

    def _items(self, items: Sequence[NewItem]) -> list[dict[str, Any]] | None:
        made: list[dict[str, Any]] = []
        for item in items:
            new: dict[str, Any] = {"kind": str(item.kind), "key": item.key, "body": self._blob(item.body)}
            if item.delay is not None:
                new["delay"] = item.delay // MICROSECOND
            if item.replace:
                new["replace"] = True
            made.append(new)
        return made or None


def _claim(change: FailRow | ReleaseRow | ParkRow | DropRow) -> dict[str, Any]:
    return {"id": change.change_id, "row": change.row_id, "own": change.owner, "del": change.delivery}


def _keys(keys: Sequence[ItemKey]) -> list[dict[str, str]] | None:
    return [{"kind": str(key.kind), "key": key.key} for key in keys] or None


def _origin(origin: Origin) -> dict[str, Any]:
    fields = {
        "cause": origin.cause.value,
        "name": origin.name,
        "actor": origin.actor,
        "reason": origin.reason,
        "attempt": origin.attempt,
        "error": origin.error,
    }
    return {name: value for name, value in fields.items() if value is not None}


def result(answer: Sequence[Any]) -> CommitResult:
    """What the commit script said of one change."""
    outcome, refusal, run_id, state, at, detail, body, requested, reason, actor = answer
    why = Refusal[refusal.decode()] if refusal else None
    return CommitResult(
        CommitOutcome[outcome.decode()],
        why,
        run_id=run_id.decode() or None,
        state=None if state < 0 else RunState(state),
        at=None if at < 0 else to_datetime(at),
        detail=detail.decode() or None,
        item=body if why is Refusal.KEY_TAKEN else None,
        requested=None if requested < 0 else ControlRequest(RunState(requested), reason.decode(), actor.decode()),
    )


class _Run(Struct):
    ns: str
    wf: str
    run: str
    fid: str
    st: str
    state: int
    ver: int
    visit: int
    task: int
    cr: int
    up: int
    cid: str
    ar: int
    pr: int
    ct: str = ""
    sv: int = 1
    rs: str | None = None
    ac: str | None = None
    err: str | None = None
    rqs: int | None = None
    rqr: str = ""
    rqa: str = ""
    md: str | None = None
    tags: str | None = None
    par: str | None = None


class _Row(Struct, rename={"delivery": "del"}):
    ns: str
    wf: str
    row: str
    topic: str
    kind: int
    rcv: str
    run: str
    ver: int
    visit: int
    cr: int
    pr: int
    delivery: int
    att: int
    lap: int
    due: int | None = None
    own: str | None = None
    err: str | None = None


class _Beat(Struct):
    owner: str
    host: str
    pid: int
    pid_started: str
    expires: int = 0


class ItemMeta(Struct):
    created: int
    due: int | None = None


_History = msgspec.defstruct(
    "_History",
    [
        ("run_id", str),
        ("version", int),
        ("to_status", str),
        ("from_state", int),
        ("to_state", int),
        ("cause", str),
        ("name", str),
        ("actor", str),
        ("attempt", int),
        ("change_id", str),
        ("at", int),
        ("from_status", str | None, None),
        ("reason", str | None, None),
        ("error", str | None, None),
    ],
)
_run = msgspec.msgpack.Decoder(_Run).decode
_row = msgspec.msgpack.Decoder(_Row).decode
_history = msgspec.msgpack.Decoder(_History).decode
_beat = msgspec.msgpack.Decoder(_Beat).decode
item_meta = msgspec.msgpack.Decoder(ItemMeta).decode


def run_record(packed: bytes, payload: bytes | None) -> RunRecord:
    run = _run(packed)
    return RunRecord(
        namespace=run.ns,
        workflow=run.wf,
        run_id=run.run,
        foreign_id=run.fid,
        status=run.st,
        state=RunState(run.state),
        version=run.ver,
        visit=run.visit,
        task_version=run.task,
        payload=None if payload is None else Payload(payload, run.ct, run.sv),
        created_at=to_datetime(run.cr),
        updated_at=to_datetime(run.up),
        change_id=run.cid,
        reason=run.rs,
        actor=run.ac,
        last_error=run.err,
        auto_resumes=run.ar,
        requested=None if run.rqs is None else ControlRequest(RunState(run.rqs), run.rqr, run.rqa),
        metadata=NOTHING if run.md is None else _json_map(run.md),
        tags=() if run.tags is None else _json_tags(run.tags),
        parent_run_id=run.par,
        priority=run.pr,
    )


class _Claim(Struct, rename={"delivery": "del"}):
    row: str
    run: str
    delivery: int


_claimed = msgspec.msgpack.Decoder(_Claim).decode


def claim_of(packed: bytes) -> tuple[str, str, int]:
    """Row id, run id and delivery of a claimed row, whatever else it holds."""
    claim = _claimed(packed)
    return claim.row, claim.run, claim.delivery


def pending_row(packed: bytes, payload: bytes | None) -> PendingRow:
    row = _row(packed)
    return PendingRow(
        namespace=row.ns,
        workflow=row.wf,
        row_id=row.row,
        topic=row.topic,
        kind=RowKind(row.kind),
        receiver=row.rcv,
        run_id=row.run,
        version=row.ver,
        visit=row.visit,
        due_at=None if row.due is None else to_datetime(row.due),
        created_at=to_datetime(row.cr),
        priority=row.pr,
        owner=row.own,
        delivery=row.delivery,
        attempts=row.att,
        lapses=row.lap,
        last_error=row.err,
        payload=payload,
    )


def history_row(packed: bytes) -> HistoryRow:
    row: Any = _history(packed)
    return HistoryRow(
        run_id=row.run_id,
        version=row.version,
        from_status=row.from_status,
        to_status=row.to_status,
        from_state=RunState(row.from_state),
        to_state=RunState(row.to_state),
        cause=Cause(row.cause),
        name=row.name,
        actor=row.actor,
        reason=row.reason,
        error=row.error,
        attempt=row.attempt,
        change_id=row.change_id,
        at=to_datetime(row.at),
    )


def packed_instance(instance: Instance) -> bytes:
    return _pack({"owner": instance.owner, "host": instance.host, "pid": instance.pid, "pid_started": instance.pid_started})


def live_instance(packed: bytes, now: int) -> Instance | None:
    """The instance of a heartbeat; None: it has lapsed."""
    beat = _beat(packed)
    if beat.expires <= now:
        return None
    return Instance(owner=beat.owner, host=beat.host, pid=beat.pid, pid_started=beat.pid_started)
