"""An explanation for people."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.text import Text

from flowdsl.cli.cleaning import clean
from flowdsl.cli.render import state_text
from flowdsl.cli.span import span_text
from flowdsl.model.explanation import Explanation, Reason


def explanation_text(found: Explanation, console: Console) -> RenderableType:
    """The run in a line, then each reason with how far away its time is, and what would change it, as wide as the console."""
    title = Text(clean(f"{found.workflow}/{found.foreign_id}"), style="bold").append("  ").append(state_text(found.state))
    title.append(Text(f"  in {clean(found.status)}  ({clean(found.run_id)})", style="not bold default"))
    return Group(title, *(part for reason in found.reasons for part in _lines(reason, found, console)))


def _lines(reason: Reason, found: Explanation, console: Console) -> list[RenderableType]:
    line = Text(clean(reason.sentence))
    if reason.at is not None:
        away = reason.at - found.now
        line.append(f" ({f'in {span_text(away)}' if reason.at > found.now else f'{span_text(-away)} ago'})", style="dim")
    parts = _hanging(line, "- ", console)
    if reason.remedy is not None:
        parts += _hanging(Text(clean(reason.remedy), style="dim"), "  ", console)
    return parts


def _hanging(text: Text, first: str, console: Console) -> list[RenderableType]:
    """The lines of a text, all but the first of which are indented."""
    lines = text.wrap(console, max(20, console.width - len(first)))
    for line in lines:
        line.rstrip()
    return [Text(first if number == 0 else " " * len(first)).append_text(line) for number, line in enumerate(lines)]
