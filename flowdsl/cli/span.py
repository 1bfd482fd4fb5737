"""Durations and moments, as people write and read them."""

from __future__ import annotations

from datetime import UTC, datetime

from flowdsl.cli.problem import UsageProblem
from flowdsl.model.span import parse_span, span_text

__all__ = ["moment_text", "parse_moment", "parse_span", "span_text"]


def moment_text(moment: datetime) -> str:
    """UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def parse_moment(text: str, now: datetime, option: str) -> datetime:
    """A moment. In: an ISO date or time (UTC unless it names a zone), or a span before `now` such as 90s, 15m, 2h, 3d, 1w."""
    span = parse_span(text)
    try:
        if span is not None:
            return now - span
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise UsageProblem(
            f"{option} {text!r} is neither a time nor a span.", remedy="Write e.g. 2h, 3d, 2026-01-31 or 2026-01-31T09:00:00Z."
        ) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
