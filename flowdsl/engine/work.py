"""A row in hand: claimed by this instance, with the run it belongs to."""

from __future__ import annotations

from typing import Any, TypedDict

from flowdsl.model.record import RunRecord


class Claim(TypedDict):
    """One claim of one row: the fields of FailRow, ReleaseRow, ParkRow and DropRow that name it."""

    row_id: str
    owner: str
    delivery: int
    version: int


class Work:
    """One claim of one row, on its way from the claim (or the handoff) to the commit."""

    __slots__ = (
        "attempts",
        "began",
        "delivery",
        "handed",
        "lane",
        "lapses",
        "owner",
        "payload",
        "record",
        "row_id",
        "version",
        "visit",
        "waited",
    )

    def __init__(
        self,
        lane: Any,  # the Lane; typed there, since a lane holds works
        record: RunRecord,
        *,
        row_id: str,
        owner: str,
        delivery: int,
        attempts: int = 0,
        lapses: int = 0,
        waited: float = 0.0,
        version: int | None = None,
        visit: int | None = None,
        payload: bytes | None = None,
        handed: bool = False,
    ) -> None:
        self.lane = lane
        self.record = record
        self.row_id = row_id
        self.owner = owner
        self.delivery = delivery
        self.attempts = attempts
        self.lapses = lapses
        self.waited = waited
        """Seconds between the event and its receipt."""
        self.version = record.version if version is None else version
        """The run's version that made the row."""
        self.visit = record.visit if visit is None else visit
        self.payload = payload
        self.handed = handed
        """It was never claimed: the commit that made it handed it over."""
        self.began = -1.0
        """Monotonic time at which the body began; negative while it has not."""

    @property
    def claim(self) -> Claim:
        """What names the claim, for a change that gives it up."""
        return {"row_id": self.row_id, "owner": self.owner, "delivery": self.delivery, "version": self.version}

    @property
    def failures(self) -> int:
        """Consecutive attempts that came to nothing: errors, and claims whose owner was gone."""
        return self.attempts + self.lapses
