"""Operations on many runs, for people and programs. The keys of the JSON are these names; they stay."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from rich.console import RenderableType
from rich.text import Text

from flowdsl.cli.cleaning import clean
from flowdsl.cli.render import WIDE, plain_table, state_text
from flowdsl.cli.run_view import RunView
from flowdsl.cli.span import moment_text, span_text
from flowdsl.engine.bulk_turns import Turn
from flowdsl.model.bulk import BulkReport, BulkVerb, OperationEntry
from flowdsl.model.run_state import RunState

_WITH_OPERATIONS = 150
"""Columns from which a list of operations has room for their ids."""
_WHAT = {"done": "green", "waiting": "yellow", "refused": "red", "passed": "dim"}


class TurnView(Struct, frozen=True, kw_only=True):
    """What a dry run says of one run."""

    run: RunView
    what: str
    """done, refused, or passed: what would become of it."""
    why: str

    @classmethod
    def of(cls, turn: Turn) -> TurnView:
        return cls(run=RunView.of(turn.run), what=turn.what, why=turn.why)


def turns_table(turns: Sequence[Turn]) -> RenderableType:
    """Runs and what would become of them."""
    if not turns:
        return Text("No runs match.", style="dim")
    table = plain_table("run", "status", "state", "would be", "why")
    for turn in turns:
        table.add_row(
            Text(clean(f"{turn.run.workflow}/{turn.run.foreign_id}")),
            Text(clean(turn.run.status)),
            state_text(turn.run.state.name.lower()),
            Text(turn.what, style=_WHAT[turn.what]),
            Text(clean(_why(turn.why)), style="dim"),
        )
    return table


def report_text(verb: BulkVerb, report: BulkReport) -> str:
    """What became of it, in a line."""
    would = "would be " if report.dry_run else ""
    parts = [f"{verb.value}: {report.done} {would}done"]
    if report.waiting:
        parts.append(f"{report.waiting} when their running step is done")
    if report.refused:
        parts.append(f"{report.refused} {would}refused")
    if report.passed:
        parts.append(f"{report.passed} no longer meant")
    if not report.finished:
        parts.append("not finished")
    return ", ".join(parts)


def refusal_lines(report: BulkReport) -> list[str]:
    """Why runs stayed as they are, the most frequent reason first."""
    refusals = sorted(report.refusals.items(), key=lambda entry: -entry[1].count)
    return [f"{refused.count} x {_why(why).rstrip('.')} (e.g. run {refused.example})" for why, refused in refusals]


def _why(refusal: str) -> str:
    """Why any run stays as it is: a refusal names none."""
    return refusal.removeprefix("run RUN stays as it is: ").replace("run RUN", "the run")


def either(states: Sequence[RunState]) -> str:
    """initiated, running or paused."""
    *others, last = (state.label.lower() for state in states)
    return f"{', '.join(others)} or {last}" if others else last


def audit_table(entries: Sequence[OperationEntry], width: int) -> RenderableType:
    """Operations, newest first. In: how many columns there are; narrow lists leave out why, how long it took, and the id, which
    takes so many that the rest would be folded to single words."""
    if not entries:
        return Text("No operations.", style="dim")
    wide, with_ids = width >= WIDE, width >= _WITH_OPERATIONS
    table = plain_table()
    for name in ("at", "what", "which runs", "by", *(["why"] if wide else [])):
        table.add_column(name, overflow="fold", no_wrap=name == "at")
    for name in ("done", "refused", *(["took"] if wide else []), *(["operation"] if with_ids else [])):
        table.add_column(name, no_wrap=True)
    for entry in entries:
        details = " ".join(f"{name}={value}" for name, value in entry.details.items())
        ended = entry.finished_at
        took = Text("not finished", style="yellow") if ended is None else Text(span_text(ended - entry.at))
        done = Text(str(entry.done + entry.waiting))
        if ended is None and not wide:
            done.append(" so far", style="yellow")
        table.add_row(
            Text(moment_text(entry.at)),
            Text(clean(f"{entry.verb} {details}".strip())),
            Text(clean(entry.where)),
            Text(clean(entry.actor)),
            *([Text(clean(entry.reason), style="dim")] if wide else []),
            done,
            Text(str(entry.refused), style="red" if entry.refused else "dim"),
            *([took] if wide else []),
            *([Text(clean(entry.operation), style="dim")] if with_ids else []),
        )
    return table
