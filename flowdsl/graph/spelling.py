"""Texts for a diagram's reader: names on one line, durations in words."""

from __future__ import annotations

from datetime import timedelta

_DAY, _HOUR, _MINUTE, _SECOND = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
_UNITS = ((86400, "day", "days"), (3600, "h", "h"), (60, "min", "min"), (1, "s", "s"))


def printable(text: str) -> str:
    """On one line: what cannot be seen, or would turn the text around, becomes a space."""
    return text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)


def duration_text(span: timedelta) -> str:
    """As in 3 days, 1 day 12 h, 15 min, 1.5 s, 500 ms. Nothing is rounded away that is a millisecond or longer."""
    if span < timedelta(0):
        return f"-{duration_text(-span)}"
    if span < timedelta(seconds=1):
        return f"{span / timedelta(milliseconds=1):g} ms" if span else "0 s"
    rest, fraction = divmod(span, timedelta(seconds=1))
    parts: list[str] = []
    for size, one, many in _UNITS:
        count, rest = divmod(rest, size)
        text = f"{count}"
        if size == 1 and fraction:
            text = f"{count + fraction.total_seconds():.3f}".rstrip("0").rstrip(".")
        if text != "0":
            parts.append(f"{text} {one if text == '1' else many}")
    return " ".join(parts)


def rough_text(span: timedelta) -> str:
    """As duration_text, of two units at most: what is smaller is cut off."""
    for large, small in ((_DAY, _HOUR), (_HOUR, _MINUTE), (_MINUTE, _SECOND), (_SECOND, _SECOND / 10)):
        if span >= large:
            return duration_text(span - span % small)
    return duration_text(span - span % timedelta(milliseconds=1))
