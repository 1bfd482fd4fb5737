"""Spans of time as people write them."""

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
