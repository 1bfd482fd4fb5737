"""The dispatcher: one claim for all lanes of the instance, when somebody woke it or a lane's time has come."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from datetime import timedelta

from flowdsl.engine.core import Core
from flowdsl.engine.intake import Intake, seconds
from flowdsl.engine.lane import Lane
from flowdsl.engine.trouble import Trouble
from flowdsl.errors import StoreError
from flowdsl.model.pending import ClaimedRow, TopicQuota

log = logging.getLogger("flowdsl.dispatcher")
AFTER_ERROR = timedelta(seconds=1)


class Dispatcher:
    """Claims rows and offers them to the executor."""

    def __init__(self, core: Core, intake: Intake) -> None:
        self._core = core
        self._intake = intake
        self._lanes = list(core.all_lanes)
        self._woken = threading.Event()
        self._trouble = Trouble(log, core.clock, "claiming")
        self.claiming = False
        """A claim may be under way: what it brings is in no lane yet."""

    def wake(self, topics: Sequence[str]) -> None:
        """Rows wait in these topics; none named: look wherever a look is due or room has appeared."""
        for topic in topics:
            lane = self._core.topics.get(topic)
            if lane is not None:
                lane.hungry = True
        if not self._woken.is_set():  # whoever clears it looks afterwards
            self._woken.set()

    def wake_all(self) -> None:
        for lane in self._lanes:
            lane.hungry = True
        self._woken.set()

    def wait(self, timeout: float | None) -> None:
        """Sleep until woken, at most `timeout` seconds."""
        self._woken.wait(timeout)
        self._woken.clear()

    def next_due(self) -> float | None:
        """The monotonic time of the next look that no wake-up has to ask for. A lane that is full is looked at when a place
        becomes free, whatever its time."""
        looks = (lane.next_look() for lane in self._lanes if lane.slots and lane.room() > 0)
        return min((look for look in looks if look is not None), default=None)

    def step(self) -> bool:
        """One claim over all lanes that want one. True: it got something, so another may too."""
        self.claiming = True  # before the look at `accepting`: a stop looks at them in the other order
        try:
            return self._claim()
        finally:
            self.claiming = False

    def _claim(self) -> bool:
        core = self._core
        if not core.accepting or not core.owner:
            return False
        now = core.clock.monotonic()
        asked: list[tuple[Lane, int]] = []
        others: list[Lane] = []
        for lane in self._lanes:
            if not lane.slots:
                continue
            if not lane.should_look(now):
                others.append(lane)
                continue
            room = lane.room()
            if room > 0:
                asked.append((lane, room))
            elif not lane.hungry:
                lane.hungry = True  # due, but full: whoever frees a place wakes us
        if not asked:
            return False
        asked += [(lane, room) for lane in others if lane.rides_along(now) and (room := lane.room()) > 0]
        owner = core.owner
        for lane, _ in asked:
            lane.looking()
        try:
            claimed = core.store.claim(core.namespace, owner, [TopicQuota(lane.topic, room) for lane, room in asked])
        except StoreError as error:
            self._trouble.failed(error)
            core.delayed.call(AFTER_ERROR, lambda: self.wake([lane.topic for lane, _ in asked]))
            for lane, _ in asked:
                lane.metrics.errors.inc()
                lane.looked(now, 1, 0)
            return False
        except BaseException:
            self.wake([lane.topic for lane, _ in asked])
            raise
        self._trouble.over()
        try:
            self._note(asked, claimed, now)
        finally:  # whatever a look at what is to come raises: these are ours, and nobody else's
            self._intake.take(owner, claimed)
        return bool(claimed)

    def _note(self, asked: list[tuple[Lane, int]], claimed: Sequence[ClaimedRow], now: float) -> None:
        """What the answer says about each lane."""
        got = dict.fromkeys((lane.topic for lane, _ in asked), 0)
        for entry in claimed:
            if entry.row.topic in got:  # else it comes from an earlier claim whose answer was lost
                got[entry.row.topic] += 1
        for lane, room in asked:
            lane.looked(now, room, got[lane.topic])
            if not got[lane.topic] and not lane.open:
                lane.metrics.caught_up(seconds(lane.options.lag_alert))
            if lane.options.polling_frequency is None and not lane.hungry:
                self._expect_next(lane)

    def _expect_next(self, lane: Lane) -> None:
        """Nobody polls this lane, so what is to come has to be known: a retry of an instance that is gone, say."""
        core = self._core
        try:
            due = core.store.next_due(core.namespace, [lane.topic])
            wait = None if due is None else (due - core.store.now()).total_seconds()
        except StoreError as error:
            log.warning("looking for what is due next failed: %s", error)
            core.delayed.call(AFTER_ERROR, lambda: self.wake([lane.topic]))
            return
        if wait is not None:  # what is due already is somebody else's at this moment, or came just now
            lane.next_due = core.clock.monotonic() + (wait if wait > 0 else AFTER_ERROR.total_seconds())
