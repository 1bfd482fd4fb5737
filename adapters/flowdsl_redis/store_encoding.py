"""From what Redis holds to the model: MessagePack maps with short names, bytes apart."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from flowdsl.model.history import Cause, HistoryRow
from flowdsl.model.instance import Instance
from flowdsl.model.pending import PendingRow, RowKind
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
    rem: int | None = None


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
        remaining=None if row.rem is None else timedelta(microseconds=row.rem),
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
    return Instance(
        owner=beat.owner, host=beat.host, pid=beat.pid, pid_started=beat.pid_started, expires_at=to_datetime(beat.expires)
    )
