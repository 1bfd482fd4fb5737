"""The dispatcher: one claim for all lanes of the instance, when somebody woke it or a lane's time has come."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from datetime import timedelta

from flowdsl.engine.core import Core
from flowdsl.engine.lane import Lane
from flowdsl.engine.metrics import SkipReason
from flowdsl.engine.steps import Steps
from flowdsl.engine.work import Work
from flowdsl.errors import StoreError
from flowdsl.model.pending import ClaimedRow, TopicQuota

log = logging.getLogger("flowdsl.dispatcher")
AFTER_ERROR = timedelta(seconds=1)


class Dispatcher:
    """Claims rows and offers them to the executor."""

    def __init__(self, core: Core, steps: Steps) -> None:
        self._core = core
        self._steps = steps
        self._lanes = list(core.lanes.values())
        self._woken = threading.Event()

    def wake(self, topics: Sequence[str]) -> None:
        """Rows wait in these topics; none named: look wherever a look is due or room has appeared."""
        for topic in topics:
            lane = self._core.topics.get(topic)
            if lane is not None:
                lane.hungry = True
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
        try:
            claimed = core.store.claim(core.namespace, owner, [TopicQuota(lane.topic, room) for lane, room in asked])
        except StoreError as error:
            log.warning("claim failed: %s", error)
            core.delayed.call(AFTER_ERROR, lambda: self.wake([lane.topic for lane, _ in asked]))
            for lane, _ in asked:
                lane.metrics.errors.inc()
                lane.looked(now, 1, 0)
            return False
        self._receive(owner, asked, claimed, now)
        return bool(claimed)

    def _receive(self, owner: str, asked: list[tuple[Lane, int]], claimed: Sequence[ClaimedRow], now: float) -> None:
        core = self._core
        got = dict.fromkeys((lane.topic for lane, _ in asked), 0)
        for entry in claimed:
            got[entry.row.topic] += 1
        for lane, room in asked:
            lane.take(got[lane.topic])
            lane.looked(now, room, got[lane.topic])
            if not got[lane.topic] and not lane.open:
                lane.metrics.caught_up(_seconds(lane.options.lag_alert))
        if not claimed:
            return
        moment = core.store.now()
        works: list[Work] = []
        for entry in claimed:
            lane, row = core.topics[entry.row.topic], entry.row
            age = max(0.0, (moment - row.created_at).total_seconds())
            lane.metrics.received(age, _seconds(lane.options.lag_alert))
            if entry.run is None:
                lane.metrics.skipped(SkipReason.NOT_FOUND)
                self._steps.drop_row(lane, row, owner)
                continue
            work = Work(
                lane,
                entry.run,
                row_id=row.row_id,
                owner=owner,
                delivery=row.delivery,
                attempts=row.attempts,
                lapses=row.lapses,
                waited=age,
            )
            if not core.accepting:
                core.release(work)  # the engine began to stop while the store answered
            elif self._steps.admit(work, row.version):
                works.append(work)
        core.offer(works)
        if core.committer.waiting:
            core.commit_soon()


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()
