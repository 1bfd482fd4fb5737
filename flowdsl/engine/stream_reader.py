"""The stream reader: receives events and claims the rows that they name."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from datetime import timedelta

from flowdsl.engine.core import Core
from flowdsl.engine.intake import Intake
from flowdsl.engine.lane import Lane
from flowdsl.engine.publisher import stream_topic
from flowdsl.engine.trouble import Trouble
from flowdsl.errors import StoreError, StreamerError
from flowdsl.model.event import Event
from flowdsl.model.pending import TopicQuota
from flowdsl.ports.event_streamer import EventReceiver, EventStreamer

log = logging.getLogger("flowdsl.stream")
RECEIVER = "steps"
"""The receiver name under which all instances share the events of step topics."""
LONG = timedelta(milliseconds=500)
SHORT = timedelta(milliseconds=20)
"""How long to wait for an event while some lane is full, because its place may become free meanwhile; or while it is not known of
some lane that its stream is empty, because then what waits in the store is worked off."""
AFTER_ERROR = timedelta(seconds=1)


class StreamReader:
    """Receiving is claiming: the rows of a batch of events are claimed in one statement, and whatever the answer, the events are
    acknowledged at once: from then on the rows carry the recovery. An event whose row cannot be claimed is stale."""

    def __init__(self, core: Core, intake: Intake, streamer: EventStreamer) -> None:
        self._core = core
        self._intake = intake
        self._streamer = streamer
        self._lanes = {stream_topic(core.namespace, lane.topic): lane for lane in core.lanes.values()}
        self._receiver: EventReceiver | None = None
        self._read: frozenset[str] = frozenset()
        self._room = threading.Event()
        self._not_before = 0.0
        self._receiving = Trouble(log, core.clock, "receiving events (rows are claimed from the store meanwhile)")
        self._claims = Trouble(log, core.clock, "claiming after events")
        self.claiming = False
        """A claim may be under way: what it brings is in no lane yet."""

    def room(self) -> None:
        """A place has become free."""
        self._room.set()

    def step(self, longest: timedelta = timedelta(0)) -> bool:
        """Receive one batch, waiting at most `longest` for it. True: it brought something."""
        core = self._core
        wait = self._not_before - core.clock.monotonic()
        if not core.accepting or not core.owner or wait > 0:
            self._pause(min(longest, timedelta(seconds=wait)) if wait > 0 else longest)
            return False
        self._room.clear()
        asked = [(topic, lane, lane.room()) for topic, lane in self._lanes.items() if lane.slots]
        quotas = [TopicQuota(topic, room) for topic, _, room in asked if room > 0]
        if self._receiver is not None and self._read != frozenset(topic for topic, _, _ in asked):
            self.close()  # only lanes that may run here are read: what a reader has fetched ahead is kept from others
        if not quotas:
            self._keep_alive()
            self._pause(longest)
            return False
        unsure = len(quotas) < len(asked) or any(lane.more for _, lane, _ in asked)
        timeout = min(longest, SHORT if unsure else LONG)
        try:
            receiver = self._the_receiver([topic for topic, _, _ in asked])
            events = receiver.receive(quotas, timeout)
            self._receiving.over()
            self._note(asked, events)
            if not events:
                return False
            self.claiming = True  # before the look at `accepting`: a stop looks at them in the other order
            try:
                if not core.accepting:
                    return False  # not acknowledged: they come to another instance
                self._claim(events)
            finally:
                self.claiming = False
            receiver.acknowledge(events)
        except StreamerError as error:
            self._failed(error)
            for _, lane, _ in asked:
                lane.more = False
            return False
        return True

    def close(self) -> None:
        """Stop reading. To be called by the thread that steps, or after it."""
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            try:
                receiver.close()
            except StreamerError as error:
                log.info("closing the receiver failed: %s", error)

    def _keep_alive(self) -> None:
        """While no lane has a place nothing is received, and a broker takes a reader that says nothing for dead."""
        if self._receiver is not None:
            try:
                self._receiver.receive([], timedelta(0))
            except StreamerError as error:
                self._failed(error)

    def _failed(self, error: StreamerError) -> None:
        if self._core.accepting:
            self._receiving.failed(error)
        self._not_before = self._core.clock.monotonic() + AFTER_ERROR.total_seconds()

    def _the_receiver(self, topics: Sequence[str]) -> EventReceiver:
        if self._receiver is None:
            self._receiver = self._streamer.receiver(RECEIVER, topics)
            self._read = frozenset(topics)
        return self._receiver

    def _note(self, asked: list[tuple[str, Lane, int]], events: Sequence[Event]) -> None:
        got: dict[str, int] = {}
        for event in events:
            got[event.topic] = got.get(event.topic, 0) + 1
        emptied = False
        for topic, lane, room in asked:
            more = room <= 0 or got.get(topic, 0) >= room
            emptied = emptied or (lane.more and not more)
            lane.more = more
        if emptied:
            self._core.wake(())  # what is overdue in the store is looked for again

    def _claim(self, events: Sequence[Event]) -> None:
        core, owner = self._core, self._core.owner
        try:
            claimed = core.store.claim_rows(core.namespace, owner, list(dict.fromkeys(event.row_id for event in events)))
        except StoreError as error:
            self._claims.failed(error)
            core.wake([self._lanes[event.topic].topic for event in events])
            return
        self._claims.over()
        core.metrics.stale_events.inc(len(events) - len(claimed))
        self._intake.take(owner, claimed)

    def _pause(self, longest: timedelta) -> None:
        if longest > timedelta(0):
            self._room.wait(min(longest, LONG).total_seconds())
