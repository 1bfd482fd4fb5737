"""Pieces of sentences."""

from __future__ import annotations

from datetime import UTC, datetime


def moment(at: datetime) -> str:
    """UTC, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def stopped(text: str | None) -> str:
    """Somebody else's text as the end of a sentence, on one line."""
    found = " ".join((text or "").split()) or "no reason is known"
    return found if found.endswith((".", "!", "?")) else f"{found}."


def count(number: int, noun: str) -> str:
    """1 run, 2 runs."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def short_name(name: str) -> str:
    """A function's name without those around it."""
    return name.rpartition(".")[2]
