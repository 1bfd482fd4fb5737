"""The views as tables and texts for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.highlighter import JSONHighlighter
from rich.table import Table
from rich.text import Text

from flowdsl.cli.cleaning import clean, clean_lines
from flowdsl.cli.pending_table import pending_table
from flowdsl.cli.run_view import RunView
from flowdsl.cli.span import moment_text, span_text
from flowdsl.cli.timeline_view import ChangeView, TimelineView
from flowdsl.engine.receipt import Receipt
from flowdsl.graph.diagram import Diagram
from flowdsl.graph.terminal import ASCII, UNICODE, terminal
from flowdsl.model.history import by_worker

WIDE = 110
"""Columns from which a list has room for run ids."""

_GAP = 3
"""Columns between two columns."""
_SHORTEST_NOTE = 6

_STATE_STYLES = {
    "initiated": "cyan",
    "running": "blue",
    "paused": "yellow",
    "completed": "green",
    "cancelled": "magenta",
    "data_deleted": "dim",
    "requested_data_deleted": "dim",
}
_EMPTY = Text("-", style="dim")


def state_text(state: str) -> Text:
    return Text(state.replace("_", " "), style=_STATE_STYLES.get(state, ""))


def runs_table(runs: Sequence[RunView], now: datetime, width: int) -> RenderableType:
    """A list of runs. In: how many columns there are; narrow lists leave the run ids out."""
    if not runs:
        return Text("No runs match.", style="dim")
    rows = [_run_cells(run, now) for run in runs]
    names, statuses, states, ages, changes, notes, ids = ([row[column].cell_len for row in rows] for column in range(7))
    with_ids = width >= WIDE
    # Rich would take from every column alike what a long note asks for; here the note gets what is left.
    name_width = min(max(*names, 3), width * 2 // 5)
    status_width = min(max(*statuses, 6), width // 5)
    taken = [name_width, status_width, max(*states, 5), max(*ages, 3), max(*changes, 7)]
    taken += [max(ids)] if with_ids else []
    note_width = min(max(notes), width - sum(taken) - _GAP * len(taken))
    with_notes = note_width >= _SHORTEST_NOTE
    table = _table()
    table.add_column("run", overflow="fold", width=name_width)
    table.add_column("status", overflow="fold", width=status_width)
    table.add_column("state", no_wrap=True)
    table.add_column("age", no_wrap=True, justify="right")
    table.add_column("changed", no_wrap=True, justify="right")
    if with_notes:
        table.add_column("note", no_wrap=True, overflow="ellipsis", width=note_width)
    if with_ids:
        table.add_column("run id", no_wrap=True)
    for row in rows:
        table.add_row(*row[:5], *(row[5:6] if with_notes else ()), *(row[6:] if with_ids else ()))
    return table


def _run_cells(run: RunView, now: datetime) -> list[Text]:
    """Name, status, state (with * for a request that waits), age, time since the last change, note, id."""
    state = state_text(run.state)
    if run.requested is not None:
        state.append("*", style="yellow")
    return [
        Text(clean(f"{run.workflow}/{run.foreign_id}")),
        Text(clean(run.status)),
        state,
        Text(span_text(now - run.created_at), style="dim"),
        Text(span_text(now - run.updated_at), style="dim"),
        Text(clean(run.note), style="dim"),
        Text(clean(run.run_id), style="dim"),
    ]


def timeline(view: TimelineView, now: datetime) -> RenderableType:
    """Everything about one run."""
    last = view.history[-1] if view.history else None  # a worker's id says nothing to people; the JSON has it
    stopped_by_worker = last is not None and by_worker(last.cause, last.actor)
    parts: list[RenderableType] = [_head(view.run, now, stopped_by_worker), _heading("History"), _history(view.history)]
    if view.pending:
        parts += [_heading("Pending"), pending_table(view.pending, now, paused=view.run.state == "paused")]
    if view.receipt is not None:
        parts += [_heading("Erased"), _erased(view.receipt)]
    if view.object is not msgspec.UNSET:
        parts += [_heading("Object"), _object(view.object)]
    return Group(*parts)


def drawing(diagram: Diagram) -> Text:
    """A diagram as this terminal can show it; the caller must not let it be wrapped."""
    characters = UNICODE if Console().encoding.startswith("utf") else ASCII
    return Text(terminal(diagram, characters).rstrip("\n"))


def _head(run: RunView, now: datetime, stopped_by_worker: bool) -> RenderableType:
    title = Text(clean(f"{run.workflow}/{run.foreign_id}"), style="bold").append("  ").append(state_text(run.state))
    title.append(Text(f"  in {clean(run.status)}", style="not bold default"))
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row("run id", Text(clean(run.run_id)))
    grid.add_row("created", Text(f"{moment_text(run.created_at)}  ({span_text(now - run.created_at)} ago)"))
    grid.add_row(
        "changed", Text(f"{moment_text(run.updated_at)}  ({span_text(now - run.updated_at)} ago), version {run.version}")
    )
    rows = {
        "reason": run.reason,
        "by": None if stopped_by_worker else run.actor,
        "error": run.last_error,
        "requested": None
        if run.requested is None
        else f"{run.requested.state} by {run.requested.actor}: {run.requested.reason} (waits for what is being executed)",
        "metadata": ", ".join(f"{key}={value}" for key, value in run.metadata.items()) or None,
        "tags": ", ".join(run.tags) or None,
        "parent": run.parent_run_id,
        "priority": str(run.priority) if run.priority else None,
    }
    for name, value in rows.items():
        if value:
            grid.add_row(name, Text(clean(value), style="red" if name == "error" else ""))
    return Group(title, grid)


def _history(changes: Sequence[ChangeView]) -> RenderableType:
    table = _table()
    table.add_column("v", justify="right", style="dim", no_wrap=True)
    table.add_column("at (UTC)", no_wrap=True)
    table.add_column("after", justify="right", no_wrap=True)
    table.add_column("change", overflow="fold", ratio=5)
    table.add_column("by", overflow="fold", ratio=5)
    one_day = len({change.at.astimezone(UTC).date() for change in changes}) == 1  # the head has the date
    for change in changes:
        moment = moment_text(change.at).removesuffix("Z")
        at = moment.partition(" ")[2] if one_day else moment
        lasted = _EMPTY if change.lasted is None else Text(span_text(change.lasted))
        table.add_row(str(change.version), at, lasted, _change(change), _origin(change))
    return table


def _change(change: ChangeView) -> Text:
    if change.from_status is None:
        return Text(clean(f"started in {change.to_status}"))
    text = Text()
    if change.from_status != change.to_status:
        text.append(clean(f"{change.from_status} -> {change.to_status}"))
    elif change.from_state == change.to_state:
        text.append(clean(f"{change.to_status} again"))
    if change.from_state != change.to_state and not (change.from_state == "initiated" and change.to_state == "running"):
        text.append(", " if text else "").append(state_text(change.to_state))
    return text if text else Text(clean(change.to_status))


def _origin(change: ChangeView) -> Text:
    what = f"{change.cause} {change.name.rpartition('.')[2]}".strip().replace("_", " ", 1 if not change.name else 0)
    by_person = change.actor and not by_worker(change.cause, change.actor)
    text = Text(clean(f"{change.actor} ({what})" if by_person else what))
    if change.attempt > 1:
        text.append(f" (attempt {change.attempt})", style="yellow")
    if change.reason:
        text.append(clean(f": {change.reason}"), style="dim")
    if change.error and change.error != change.reason:
        text.append(clean(f": {change.error}"), style="red")
    return text


def _erased(receipt: Receipt) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row("at", Text(moment_text(receipt.erased_at)))
    grid.add_row("asked by", Text(clean(receipt.requested_by)))
    grid.add_row("object", Text(clean(receipt.object)))
    grid.add_row("history", Text(clean(receipt.history)))
    grid.add_row("rows", Text(clean(receipt.rows)))
    grid.add_row("dead letters", Text(f"{receipt.dead_letters} removed"))
    return grid


def _object(value: msgspec.Raw | str | None) -> RenderableType:
    if value is None:
        return Text("none", style="dim")
    if isinstance(value, str):
        return Text(clean(value), style="dim")
    return JSONHighlighter()(Text(clean_lines(msgspec.json.format(bytes(value), indent=2).decode())))


def _heading(text: str) -> Text:
    return Text(f"\n{text}", style="bold")


def plain_table(*headers: str) -> Table:
    """A table of these columns, which fold what is too long for them."""
    table = _table()
    for header in headers:
        table.add_column(header, overflow="fold")
    return table


def _table() -> Table:
    return Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False, padding=(0, 1), show_edge=False)
