"""The duty of the user's events: publish them; a row leaves when the broker has confirmed its event."""

from __future__ import annotations

import msgspec

from flowdsl.dsl.run import Run
from flowdsl.engine.awaiting import Plan
from flowdsl.engine.core import Core
from flowdsl.engine.duty import Duty, Opened
from flowdsl.engine.results import Results
from flowdsl.engine.work import Work
from flowdsl.errors import ConfigurationError
from flowdsl.model.change import DropRow, MoveRun
from flowdsl.model.event import Event
from flowdsl.model.user_event import UserEvent
from flowdsl.naming import user_topic


class EventDuty(Duty):
    """Events of one process travel in batches, each with one wait for its confirms."""

    what = "event"

    def __init__(self, core: Core, results: Results) -> None:
        self._core, self._results = core, results

    def admit(self, work: Work) -> bool:
        if work.payload is not None:
            return True
        self._results.drop(work)  # its data was erased
        return False

    def open(self, work: Work) -> Opened:
        return Opened(Run(work.record, None, work.record.status), None)

    def finish(self, work: Work, opened: Opened, answer: object) -> Plan[None]:
        core, record = self._core, work.record
        if core.publisher is None or work.payload is None:
            raise ConfigurationError("there is no streamer to publish to.")
        told = msgspec.json.decode(work.payload, type=UserEvent)
        event = Event(
            event_id=work.row_id,
            topic=user_topic(record.namespace, told.topic),
            namespace=record.namespace,
            workflow=record.workflow,
            foreign_id=record.foreign_id,
            run_id=record.run_id,
            version=work.version,
            created_at=core.store_clock.now(),
            headers={**record.metadata, **told.headers},
            body=told.body,
        )
        core.publisher.send(event, lambda: self._confirmed(work), lambda: self._withdrawn(work))
        return
        yield  # a plan that waits for nothing

    def _confirmed(self, work: Work) -> None:
        change = DropRow(change_id=self._core.ids(), **work.claim)
        self._results.submit(work, change, lambda result: self._results.told(work, result))
        self._core.commit_soon()

    def _withdrawn(self, work: Work) -> None:
        self._core.release(work)
        self._core.commit_soon()

    def give_up(self, work: Work, failures: int, error: str, *, final: bool) -> MoveRun | None:
        return None
