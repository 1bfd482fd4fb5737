"""Schedules as tables and texts for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from flowdsl.cli.cleaning import clean
from flowdsl.cli.schedule_view import ScheduleView, WholeScheduleView
from flowdsl.cli.span import moment_text, span_text
from flowdsl.model.schedule import JournalEntry

_STYLES = {"active": "green", "paused": "yellow", "failing": "red", "waiting": "cyan", "over": "dim", "removed": "dim"}
_EMPTY = Text("-", style="dim")


def schedules_table(schedules: Sequence[ScheduleView], now: datetime) -> RenderableType:
    """A list of schedules."""
    if not schedules:
        return Text("No schedules.", style="dim")
    table = _table()
    table.add_column("schedule", overflow="fold", ratio=3)
    table.add_column("fires", overflow="fold", ratio=3)
    table.add_column("state", no_wrap=True)
    table.add_column("next", no_wrap=True, justify="right")
    table.add_column("last", no_wrap=True, justify="right")
    table.add_column("runs", no_wrap=True, justify="right")
    table.add_column("note", overflow="ellipsis", no_wrap=True, ratio=3)
    for schedule in schedules:
        table.add_row(
            Text(clean(f"{schedule.workflow}/{schedule.name}")),
            Text(clean(f"{schedule.rule.spec} {schedule.rule.timezone}")),
            Text(schedule.state, style=_STYLES[schedule.state]),
            _EMPTY if schedule.next is None else Text(_when(schedule.next, now)),
            _EMPTY if schedule.last_slot is None else Text(f"{span_text(now - schedule.last_slot)} ago", style="dim"),
            str(schedule.started),
            Text(clean(schedule.note), style="red" if schedule.state == "failing" else "dim"),
        )
    return table


def schedule_text(view: WholeScheduleView, now: datetime) -> RenderableType:
    """Everything about one schedule."""
    schedule = view.schedule
    rule = schedule.rule
    title = Text(clean(f"{schedule.workflow}/{schedule.name}"), style="bold").append("  ")
    title.append(schedule.state, style=_STYLES[schedule.state])
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    policies = f"gap {rule.gap}, overlap hour {rule.overlap_hour}, misfire {rule.misfire}, if running {rule.if_running}"
    rows = {
        "fires": f"{rule.spec}: {schedule.words}",
        "policies": policies,
        "foreign id": rule.foreign_id,
        "starts in": rule.start_status,
        "made": f"{schedule.origin}, {moment_text(schedule.created.at)} by {schedule.created.by}",
        "changed": f"{moment_text(schedule.changed.at)} by {schedule.changed.by}",
        "last run": schedule.last_run_id,
        "slots": f"{schedule.started} started, {schedule.skipped} skipped, {schedule.busy} passed over, {schedule.missed} missed",
        "note": schedule.note or None,
    }
    for name, value in rows.items():
        if value is not None:
            grid.add_row(name, Text(clean(value), style="red" if name == "note" and schedule.state == "failing" else ""))
    parts: list[RenderableType] = [title, grid]
    if view.firings:
        next_ = "Next, once it is resumed" if schedule.state == "paused" else "Next"
        parts += [Text(f"\n{next_}", style="bold"), firings_table(view.firings, now)]
    if view.journal:
        parts += [Text("\nJournal", style="bold"), _journal(view.journal)]
    return Group(*parts)


def firings_table(firings: Sequence[datetime], now: datetime) -> RenderableType:
    """Moments, in their zone and from now."""
    table = _table()
    table.add_column("fires", no_wrap=True)
    table.add_column("UTC", no_wrap=True, style="dim")
    table.add_column("from now", no_wrap=True, justify="right", style="dim")
    for firing in firings:
        table.add_row(f"{firing:%a %Y-%m-%d %H:%M:%S %Z}", moment_text(firing), _when(firing, now))
    return table


def _journal(entries: Sequence[JournalEntry]) -> RenderableType:
    table = _table()
    table.add_column("at (UTC)", no_wrap=True)
    table.add_column("slot", no_wrap=True)
    table.add_column("what", overflow="fold", ratio=2)
    table.add_column("by", overflow="fold", ratio=1)
    for entry in entries:
        what = Text(clean(entry.event))
        if entry.missed:
            what.append(f", {entry.missed} missed", style="yellow")
        for text, style in ((entry.run_id, "dim"), (entry.reason, "dim"), (entry.error, "red")):
            if text:
                what.append(clean(f"  {text}"), style=style)
        slot = _EMPTY if entry.slot is None else Text(moment_text(entry.slot))
        table.add_row(moment_text(entry.at), slot, what, Text(clean(entry.by), style="dim"))
    return table


def _when(moment: datetime, now: datetime) -> str:
    return f"in {span_text(moment - now)}" if moment > now else f"due for {span_text(now - moment)}"


def _table() -> Table:
    return Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False, padding=(0, 1), show_edge=False)
