"""Changes as the commit script takes them, and its answers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec

from flowdsl.model.change import (
    AddRow,
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
from flowdsl.model.history import Origin
from flowdsl.model.item import ItemKey, NewItem
from flowdsl.model.pending import NewRow
from flowdsl.model.record import ControlRequest, Payload
from flowdsl.model.run_state import RunState
from flowdsl_redis.store_encoding import MICROSECOND, to_datetime, to_micros

_pack = msgspec.msgpack.Encoder().encode


class ChangeEncoder:
    """Changes of one commit as a script takes them: maps, and the bytes that they name by number."""

    def __init__(self) -> None:
        self.blobs: list[bytes] = []
        self._maps: list[dict[str, Any]] = []

    def add(self, change: Change) -> None:
        self._maps.append({name: value for name, value in self._of(change).items() if value is not None})

    def packed(self, *, together: bool = False) -> bytes:
        """In: whether all of the changes are to be applied or none."""
        return _pack({"changes": self._maps, "together": together})

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
            case AddRow():
                return {"k": "add", "id": change.change_id, **self._add(change)}
            case PutItems():
                items = {"items": self._items(change.items), "drop": _keys(change.drop), "due_only": change.drop_due_only or None}
                return {"k": "put", "id": change.change_id, "ns": change.namespace, **items}
            case FailRow():
                failure = {"error": change.error, "delay": change.delay // MICROSECOND, "side": self._rows(change.side_rows)}
                return {"k": "fail", **_claim(change), **failure}
            case ReleaseRow():
                return {"k": "release", **_claim(change), "delay": _micros(change.delay)}
            case ParkRow():
                return {"k": "park", **_claim(change), "unless_requested": change.unless_requested or None}
            case DropRow():
                return {"k": "drop", **_claim(change), "unless_requested": change.unless_requested or None}

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
            "erase": change.erase or None,
            "settle": change.settle,
            "items": self._items(change.items),
            "drop": _keys(change.drop_items),
            "new_visit": change.new_visit or None,
            "new_task": change.new_task or None,
            "ar": change.auto_resumes,
            "unless_claimed": change.unless_claimed or None,
            "unless_moving": change.unless_moving or None,
            "honour": change.honour_request or None,
        }

    def _add(self, change: AddRow) -> dict[str, Any]:
        return {
            "ns": change.namespace,
            "run": change.run_id,
            "ver": change.version,
            "row": self._row(change.row),
            "former": change.instead_of,
            "items": self._items(change.items),
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
        if row.due_at is not None:
            new["due"] = to_micros(row.due_at)
        elif row.delay is not None:
            new["delay"] = row.delay // MICROSECOND
        if row.owner is not None:
            new["own"] = row.owner
        if row.payload is not None:
            new["payload"] = self._blob(row.payload)
        if row.only_in is not None:
            new["only_in"] = int(row.only_in)
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
    claim: dict[str, Any] = {"id": change.change_id, "row": change.row_id, "own": change.owner, "del": change.delivery}
    if change.version is not None:
        claim["ver"] = change.version
    return claim


def _micros(delay: timedelta | None) -> int | None:
    return None if delay is None else delay // MICROSECOND


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
