"""What waits for a run, as a table for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from flowdsl.cli.cleaning import clean
from flowdsl.cli.pending_view import PendingView
from flowdsl.cli.span import moment_text, span_text

_EMPTY = Text("-", style="dim")


def pending_table(rows: Sequence[PendingView], now: datetime, *, paused: bool) -> RenderableType:
    """In: whether the run is paused, so that its timers stand still."""
    table = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False, padding=(0, 1), show_edge=False)
    table.add_column("what", overflow="fold")
    table.add_column("due", no_wrap=True)
    table.add_column("attempts", justify="right", no_wrap=True)
    table.add_column("held by", overflow="fold")
    table.add_column("last error", overflow="fold", ratio=1)
    for row in rows:
        failures = str(row.attempts) + (f" +{row.lapses} lost" if row.lapses else "")
        table.add_row(
            Text(clean(_what(row))),
            _due(row, now, paused),
            failures,
            Text(clean(row.owner)) if row.owner else _EMPTY,
            Text(clean(row.last_error), style="red") if row.last_error else _EMPTY,
        )
    return table


def _what(row: PendingView) -> str:
    match row.kind:
        case "timeout":
            return f"timeout {row.name}"
        case "callback":
            by = f" by {row.by}" if row.by else ""
            until = f", kept until {moment_text(row.kept_until)}" if row.kept_until is not None else ""
            return f"kept callback {row.name} for {row.receiver}{by}{until}"
        case "hook":
            return f"hook {row.name} to be told of {_EVENTS.get(row.receiver, row.receiver)}"
        case "deletion":
            return "erasing of its data"
        case _:
            return f"{row.kind} {row.receiver}".strip()


_EVENTS = {
    "pause": "the pause",
    "cancel": "the cancel",
    "complete": "the completion",
    "error": "a failure",
    "transition": "a transition",
}


def _due(row: PendingView, now: datetime, paused: bool) -> Text:
    if row.owner is not None:
        return Text("in progress", style="blue")
    if row.due_at is None:
        return Text(_parked(row, paused), style="yellow")
    if row.due_at > now:
        return Text(f"in {span_text(row.due_at - now)}")
    return Text(f"for {span_text(now - row.due_at)}")


def _parked(row: PendingView, paused: bool) -> str:
    if row.kind == "callback":
        return "when resumed" if paused else "when it is there"
    if row.kind == "timeout":
        return "stands still" if paused else "never"
    return "parked"
