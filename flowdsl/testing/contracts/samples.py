"""Changes and runs for the suites: complete, and short to write."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

from flowdsl.model.change import Change, CommitResult, MoveRun, StartRun
from flowdsl.model.history import Cause, Origin
from flowdsl.model.instance import Instance
from flowdsl.model.pending import ClaimedRow, NewRow, TopicQuota
from flowdsl.model.record import Payload, RunRecord
from flowdsl.model.run_state import RunState
from flowdsl.ports.record_store import RecordStore
from flowdsl.testing.clock import ManualClock

NAMESPACE = "default"
TTL = timedelta(seconds=30)
SECOND = timedelta(seconds=1)


class World:
    """A store under test and the clock it was given, with a few verbs."""

    def __init__(self, store: RecordStore, clock: ManualClock, prefix: str) -> None:
        self.store = store
        self.clock = clock
        self._prefix = prefix
        self._numbers = itertools.count(1)

    def new_id(self, what: str = "id") -> str:
        """Unique in the store, growing."""
        return f"{self._prefix}-{what}-{next(self._numbers):06d}"

    def start(self, foreign_id: str | None = None, **fields: Any) -> StartRun:
        """A StartRun with a due row in topic `orders/created`; pass `row=None` for none."""
        run_id = fields.pop("run_id", None) or self.new_id("run")
        defaults: dict[str, Any] = {
            "change_id": self.new_id("change"),
            "namespace": NAMESPACE,
            "workflow": "orders",
            "run_id": run_id,
            "foreign_id": foreign_id if foreign_id is not None else self.new_id("order"),
            "status": "created",
            "payload": Payload(b'{"total":1}'),
            "origin": Origin(Cause.TRIGGER, actor="tester"),
            "row": NewRow(row_id=run_id, topic="orders/created"),
        }
        return StartRun(**{**defaults, **fields})

    def started(self, foreign_id: str | None = None, **fields: Any) -> RunRecord:
        """Start a run and return it."""
        change = self.start(foreign_id, **fields)
        result = self.commit(change)
        assert result.applied, result
        return self.run(change.run_id)

    def move(self, record: RunRecord, to: str | None = None, **fields: Any) -> MoveRun:
        """A MoveRun from the record as it is; without further fields to status `to`, RUNNING, with a due row."""
        status = to if to is not None else record.status
        defaults: dict[str, Any] = {
            "change_id": self.new_id("change"),
            "namespace": record.namespace,
            "workflow": record.workflow,
            "run_id": record.run_id,
            "version": record.version,
            "from_status": record.status,
            "from_state": record.state,
            "to_status": status,
            "to_state": RunState.RUNNING,
            "origin": Origin(Cause.STEP, name="step", actor="tester"),
            "row": NewRow(row_id=record.run_id, topic=f"orders/{status}"),
            "new_visit": to is not None,
        }
        return MoveRun(**{**defaults, **fields})

    def stop(self, record: RunRecord, state: RunState, reason: str = "because", **fields: Any) -> MoveRun:
        """A MoveRun that pauses, cancels or completes where the run is."""
        origin = Origin(Cause.CONTROL, actor="ada", reason=reason)
        return self.move(record, to_state=state, origin=origin, row=None, **fields)

    def commit(self, change: Change) -> CommitResult:
        (result,) = self.store.commit([change])
        return result

    def run(self, run_id: str) -> RunRecord:
        return self.store.lookup([run_id])[run_id]

    def owner(self) -> str:
        """A new owner whose heartbeat is alive."""
        owner = self.new_id("owner")
        assert self.store.beat(NAMESPACE, Instance(owner=owner), TTL)
        return owner

    def claim(self, owner: str, *topics: str, limit: int = 10) -> list[ClaimedRow]:
        quotas = [TopicQuota(topic, limit) for topic in topics or ("orders/created",)]
        return list(self.store.claim(NAMESPACE, owner, quotas))

    def claim_one(self, owner: str, *topics: str) -> ClaimedRow:
        (claimed,) = self.claim(owner, *topics)
        return claimed
