"""Durations and moments, as people write and read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flowdsl.cli.problem import UsageProblem
from flowdsl.model.span import parse_span


def span_text(span: timedelta) -> str:
    """At most two units, as in 340ms, 1.2s, 3m04s, 2h05m, 3d04h."""
    seconds = span.total_seconds()
    if seconds < 0:
        return f"-{span_text(-span)}"
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    if seconds < 60:
        return f"{int(seconds * 10) / 10:g}s"
    whole = int(seconds)
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02}h"


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
