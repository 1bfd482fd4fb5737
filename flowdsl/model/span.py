"""Spans of time as people write and read them."""

from __future__ import annotations

import re
from datetime import timedelta

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SPAN = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)([smhdw])", re.ASCII)


def parse_span(text: str) -> timedelta | None:
    """90s, 15m, 2h, 1.5d, 1w; None for anything else, and for what no timedelta can hold."""
    found = _SPAN.fullmatch(text)
    if found is None:
        return None
    try:
        return timedelta(seconds=float(found[1]) * _UNITS[found[2]])
    except OverflowError:
        return None


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
