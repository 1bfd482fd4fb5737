"""The intake: what was claimed, from the store or after an event, becomes work."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from flowdsl.engine.core import Core
from flowdsl.engine.lane import Lane
from flowdsl.engine.metrics import SkipReason
from flowdsl.engine.steps import Steps
from flowdsl.engine.work import Claim, Work
from flowdsl.model.change import CommitResult
from flowdsl.model.pending import ClaimedRow, PendingRow, RowKind

log = logging.getLogger("flowdsl.intake")
AFTER_ERROR = timedelta(seconds=1)


class Intake:
    """Counts claimed rows into their lanes, lets stale ones go and offers the rest to the executor."""

    def __init__(self, core: Core, steps: Steps) -> None:
        self._core = core
        self._steps = steps

    def take(self, owner: str, claimed: Sequence[ClaimedRow]) -> None:
        """These rows are ours now, claimed under `owner`."""
        if not claimed:
            return
        core = self._core
        moment = core.store_clock.now()
        works: list[Work] = []
        ages: dict[Lane, float] = {}
        for entry in claimed:
            lane, row = core.topics.get(entry.row.topic), entry.row
            if lane is None:
                self._give_back(entry, owner)
                continue
            lane.take(1)
            age = max(0.0, (moment - asked_at(row)).total_seconds())
            ages[lane] = age
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
                version=row.version,
                visit=row.visit,
                payload=row.payload,
            )
            if owner != core.owner:
                core.close(work)  # the heartbeat had lapsed: the row is free, or somebody else's already
            elif not core.accepting:
                core.release(work)  # the engine began to stop while the store answered
            elif self._admit(work):
                works.append(work)
        for lane, age in ages.items():
            lane.metrics.received(age, seconds(lane.options.lag_alert))
        core.offer(works)
        if core.committer.waiting:
            core.commit_soon()

    def _admit(self, work: Work) -> bool:
        try:
            return self._steps.admit(work)
        except Exception:  # not the store's to raise: but neither this row nor those behind it may stay in our hands for good
            log.exception("whether %s is still to be called could not be found out", work.lane.spec.name)
            self._core.release(work, AFTER_ERROR)
            return False

    def _give_back(self, entry: ClaimedRow, owner: str) -> None:
        """An event of a status that the run has left since brought a row of one that only newer code knows: that is told of it
        again."""
        core, row, record = self._core, entry.row, entry.run

        def done(result: CommitResult) -> None:
            if result.applied and record is not None and row.kind is RowKind.STEP:
                core.announce(row.topic, record)

        core.give_back(Claim(row_id=row.row_id, owner=owner, delivery=row.delivery, version=row.version), done)


def asked_at(row: PendingRow) -> datetime:
    """Since when somebody could have worked on it: a timeout and a kept callback wait for their time first."""
    if row.kind in (RowKind.TIMEOUT, RowKind.CALLBACK) and row.due_at is not None:
        return row.due_at
    return row.created_at


def seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()
