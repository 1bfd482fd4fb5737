"""What can be asked of a store's runs, and the page that answers."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

import msgspec
from msgspec import Struct

from flowdsl.errors import FlowError
from flowdsl.model.record import RunRecord
from flowdsl.model.run_state import RunState

MAX_PAGE = 500


class QueryError(FlowError):
    """The query cannot be answered as it is."""


class Order(StrEnum):
    """By creation."""

    NEWEST_FIRST = "newest"
    OLDEST_FIRST = "oldest"


class Cursor(Struct, frozen=True, array_like=True):
    """Where a page ended: the last row's sort key."""

    created_at: datetime
    run_id: str

    def encode(self) -> str:
        """As opaque text, fit for a URL."""
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Cursor:
        """Raises QueryError for anything that `encode` did not make."""
        try:
            return msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=cls)
        except (ValueError, msgspec.DecodeError, RecursionError) as error:
            raise QueryError(f"not a page cursor: {text[:40]!r}", remedy="Pass the `next` of an earlier page.") from error


class RunQuery(Struct, frozen=True, kw_only=True):
    """Filters are combined with AND; several values of one filter mean any of them; an empty tuple means no filter.
    Times are strict: a run created exactly then does not match."""

    namespace: str = "default"
    workflows: tuple[str, ...] = ()
    foreign_ids: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    states: tuple[RunState, ...] = ()
    created_after: datetime | None = None
    created_before: datetime | None = None
    order: Order = Order.NEWEST_FIRST
    limit: int = 25
    after: Cursor | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= MAX_PAGE:
            raise QueryError(f"limit is {self.limit}", remedy=f"Ask for 1 to {MAX_PAGE} runs a page.")
        for name in ("created_after", "created_before"):
            moment = getattr(self, name)
            if moment is not None and moment.tzinfo is None:
                raise QueryError(f"{name} has no time zone", remedy="Use an aware datetime, e.g. datetime.now(UTC).")


class Page(Struct, frozen=True):
    """One page of runs. `next` is None on the last one."""

    runs: Sequence[RunRecord]
    next: Cursor | None
