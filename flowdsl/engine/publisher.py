"""The publisher: sends the events of rows that this process has committed and not kept for itself."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from flowdsl.clock import Clock, IdSource
from flowdsl.engine.metrics import Metrics
from flowdsl.errors import FlowError
from flowdsl.model.event import Event
from flowdsl.model.record import RunRecord
from flowdsl.ports.event_streamer import EventStreamer

log = logging.getLogger("flowdsl.publisher")
BATCH = 256
MOST_WAITING = 20_000
"""Events kept while the broker is away. To drop what is beyond costs time, never a run: consumers look into the store too."""
AFTER_ERROR, LONGEST = 1.0, 15.0
"""Seconds to the next try, twice as long from one failure to the next: a try holds up whoever makes it, a caller of `trigger` in
a process without threads of ours."""


class Publisher:
    """Collects events from any thread and publishes them in batches, one wait for the broker's confirms each.

    An event is a hint: its row is in the store already, so an event that never leaves is found there by a consumer.
    """

    def __init__(self, streamer: EventStreamer, clock: Clock, ids: IdSource, metrics: Metrics) -> None:
        self._streamer = streamer
        self._clock = clock
        self._ids = ids
        self._metrics = metrics
        self._queue: deque[Event] = deque(maxlen=MOST_WAITING)
        self._own: deque[_Own] = deque()
        """Of the user's: none is dropped. There are never more than rows in hand."""
        self._stopping = False
        self._leading = threading.Lock()
        self._not_before = 0.0
        self._failing = False
        self._trouble = ""
        self._wait = AFTER_ERROR
        self.wanted: Callable[[], None] = _nobody
        """Told that an event waits which no commit brought."""

    def announce(self, topic: str, record: RunRecord, at: datetime) -> None:
        """A row of this run waits in `topic`. To be sent by the next `flush` or `step`."""
        if len(self._queue) == MOST_WAITING:
            self._metrics.unpublished.inc()
        self._queue.append(
            Event(
                event_id=self._ids(),
                topic=stream_topic(record.namespace, topic),
                namespace=record.namespace,
                workflow=record.workflow,
                foreign_id=record.foreign_id,
                run_id=record.run_id,
                row_id=record.run_id,
                version=record.version,
                created_at=at,
            )
        )

    def send(self, event: Event, confirmed: Callable[[], None], withdrawn: Callable[[], None]) -> None:
        """Publish an event of the user's with the next batch, and again until the broker has it: then `confirmed` is called; or
        until `stop`: then `withdrawn` may be."""
        self._own.append(_Own(event, confirmed, withdrawn))
        if self._stopping and self._away:
            self._withdraw()
        self.wanted()

    def begin(self) -> None:
        """What of the user's cannot be published is kept, and tried again, from here on."""
        self._stopping = False

    def stop(self) -> None:
        """Publish what waits. What of the user's cannot be published, now or after this, is given back: somebody else does it."""
        self._stopping = True
        self.flush()
        if self._away:
            self._withdraw()

    @property
    def waiting(self) -> bool:
        return bool(self._queue or self._own)

    @property
    def trouble(self) -> str | None:
        """Why events that it tried to publish are still here; None: none are, or none were tried."""
        return (self._trouble or None) if self.waiting else None

    @property
    def _away(self) -> bool:
        """It failed a moment ago."""
        return self._clock.monotonic() < self._not_before

    def step(self) -> bool:
        """Publish one batch. True: there may be more right away."""
        if not self.waiting or self._away:
            return False
        with self._leading:
            return self._publish()

    def flush(self) -> None:
        """Publish what waits, unless another thread is at it."""
        while self.waiting and not self._away:
            if not self._leading.acquire(blocking=False):
                return  # whoever leads looks at the queue again after it has let go of its lock
            try:
                while self._publish():
                    pass
            finally:
                self._leading.release()

    def next_due(self) -> float | None:
        return self._not_before if self.waiting else None

    def _publish(self) -> bool:
        own: list[_Own] = []
        while self._own and len(own) < BATCH:
            own.append(self._own.popleft())
        batch: list[Event] = []
        while self._queue and len(own) + len(batch) < BATCH:
            batch.append(self._queue.popleft())
        if not batch and not own:
            return False
        try:
            confirmed = self._streamer.publish([*(entry.event for entry in own), *batch])
        except (
            Exception
        ) as error:  # not an adapter's to raise: but a user's event must not stay in our hands for good because of it
            why = error if isinstance(error, FlowError) else f"the streamer raised {type(error).__name__}"
            if not self._failing:
                log.warning("publishing failed, consumers find the rows in the store meanwhile: %s", why)
            self._failing = True
            self._trouble = str(why).removesuffix(getattr(why, "remedy", None) or "").rstrip(" .")
            self._not_before = self._clock.monotonic() + self._wait
            self._wait = min(2 * self._wait, LONGEST)
            self._put_back(batch)
            self._put_back_own(own)
            return False
        if self._failing:
            log.info("publishing works again")
            self._failing = False
            self._wait = AFTER_ERROR
        refused = [event for event, fine in zip(batch, confirmed[len(own) :], strict=True) if not fine]
        left = [entry for entry, fine in zip(own, confirmed, strict=False) if not fine]
        self._metrics.published.inc(len(own) + len(batch) - len(refused) - len(left))
        for entry, fine in zip(own, confirmed, strict=False):
            if fine:
                entry.confirmed()
        self._trouble = ""
        if refused or left:
            self._trouble = "the broker did not take it"
            self._not_before = self._clock.monotonic() + AFTER_ERROR
            self._put_back(refused)
            self._put_back_own(left)
            return False
        return self.waiting

    def _put_back(self, events: list[Event]) -> None:
        """Oldest first again, as far as there is room."""
        room = MOST_WAITING - len(self._queue)
        self._metrics.unpublished.inc(max(0, len(events) - room))
        self._queue.extendleft(reversed(events[:room]))

    def _put_back_own(self, entries: list[_Own]) -> None:
        self._own.extendleft(reversed(entries))
        if self._stopping:
            self._withdraw()

    def _withdraw(self) -> None:
        while True:
            try:
                entry = self._own.popleft()
            except IndexError:
                return
            entry.withdrawn()


class _Own(NamedTuple):
    """An event of the user's, and who is told what became of it."""

    event: Event
    confirmed: Callable[[], None]
    withdrawn: Callable[[], None]


def _nobody() -> None:
    """The next step or flush publishes."""


def stream_topic(namespace: str, topic: str) -> str:
    """The topic's name on a streamer, which fleets of several namespaces may share."""
    return f"{namespace}/{topic}"
