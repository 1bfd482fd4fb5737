"""A seat is held for a while: a reminder before the end, and the end, at a time that each reservation brings along."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from flowdsl import Outcome, Run, Workflow

REMINDER = timedelta(hours=1)


class Status(StrEnum):
    HELD = "held"
    PAID = "paid"
    GIVEN_UP = "given_up"


@dataclass
class Reservation:
    seat: str
    until: datetime | None
    """None: it is held for ever."""
    reminded: bool = False


def last_call(run: Run[Reservation, Status], now: datetime) -> datetime | None:
    """When to remind: an hour before the end, once."""
    until = run.object.until
    return None if until is None or run.object.reminded else until - REMINDER


def the_end(run: Run[Reservation, Status], now: datetime) -> datetime | None:
    return run.object.until


def build(remind: Callable[[str], None]) -> Workflow[Reservation, Status]:
    """In: what reminds the customer of a reservation."""
    reservations = Workflow("reservations", object_type=Reservation, status_type=Status)

    @reservations.callback(from_=Status.HELD, to=Status.PAID)
    def paid(run: Run[Reservation, Status]) -> None:
        """The seat is theirs."""

    # A timeout has to say where it may lead; a reminder leads nowhere.
    @reservations.timeout(from_=Status.HELD, to=Status.GIVEN_UP, at=last_call)  # flowdsl: ignore[unanswered-destination]
    def reminder(run: Run[Reservation, Status]) -> Status | Outcome:
        remind(run.foreign_id)
        run.object.reminded = True
        return run.save_and_repeat()  # it stays where it is

    @reservations.timeout(from_=Status.HELD, to=Status.GIVEN_UP, at=the_end)
    def too_late(run: Run[Reservation, Status]) -> None:
        """The seat is free again."""

    return reservations
