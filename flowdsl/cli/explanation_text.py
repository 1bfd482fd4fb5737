"""An explanation for people."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from flowdsl.cli.cleaning import clean
from flowdsl.cli.render import state_text
from flowdsl.cli.span import span_text
from flowdsl.model.explanation import Explanation, Reason


def explanation_text(found: Explanation) -> RenderableType:
    """The run in a line, then each reason with how far away its time is, and what would change it."""
    title = Text(clean(f"{found.workflow}/{found.foreign_id}"), style="bold").append("  ").append(state_text(found.state))
    title.append(Text(f"  in {clean(found.status)}  ({clean(found.run_id)})", style="not bold default"))
    return Group(title, *(part for reason in found.reasons for part in _lines(reason, found)))


def _lines(reason: Reason, found: Explanation) -> list[RenderableType]:
    line = Text(f"- {clean(reason.sentence)}")
    if reason.at is not None:
        away = reason.at - found.now
        line.append(f" ({f'in {span_text(away)}' if reason.at > found.now else f'{span_text(-away)} ago'})", style="dim")
    parts: list[RenderableType] = [line]
    if reason.remedy is not None:
        parts.append(Text(f"  {clean(reason.remedy)}", style="dim"))
    return parts
