"""Dead letters as tables and texts for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.highlighter import JSONHighlighter
from rich.table import Table
from rich.text import Text

from flowdsl.cli.cleaning import clean, clean_lines
from flowdsl.cli.dead_letter_view import DeadLetterView, WholeLetterView
from flowdsl.cli.span import moment_text, span_text
from flowdsl.model.audit import AuditEntry


def letters_table(letters: Sequence[DeadLetterView], now: datetime) -> RenderableType:
    """A list of letters, as it comes."""
    if not letters:
        return Text("No dead letters match.", style="dim")
    table = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False, padding=(0, 1), show_edge=False)
    table.add_column("letter id", no_wrap=True)
    table.add_column("from", overflow="fold", ratio=2)
    table.add_column("foreign id", overflow="fold", ratio=2)
    table.add_column("tries", justify="right", no_wrap=True)
    table.add_column("age", justify="right", no_wrap=True)
    table.add_column("error", overflow="ellipsis", no_wrap=True, ratio=3)
    for letter in letters:
        table.add_row(
            Text(clean(letter.letter_id)),
            Text(clean(_sender(letter))),
            Text(clean(letter.foreign_id)),
            str(letter.attempts),
            Text(span_text(now - letter.buried_at), style="dim"),
            Text(clean(letter.error), style="red"),
        )
    return table


def letter_text(view: WholeLetterView, now: datetime) -> RenderableType:
    """Everything about one letter."""
    letter = view.letter
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row("error", Text(clean(letter.error), style="red"))
    grid.add_row("tries", str(letter.attempts))
    grid.add_row("buried", Text(f"{moment_text(letter.buried_at)}  ({span_text(now - letter.buried_at)} ago)"))
    rows = {
        "happened": None if letter.happened_at is None else moment_text(letter.happened_at),
        "foreign id": letter.foreign_id,
        "run id": letter.run_id,
        "event id": letter.event_id,
        "type": letter.type,
        "headers": ", ".join(f"{name}={value}" for name, value in letter.headers.items()),
    }
    for name, value in rows.items():
        if value:
            grid.add_row(name, Text(clean(value)))
    parts: list[RenderableType] = [Text(clean(f"{_sender(letter)}  {letter.letter_id}"), style="bold"), grid]
    if view.audit:
        parts += [Text("\nAudit", style="bold"), *(_entry(entry) for entry in view.audit)]
    if view.body is not msgspec.UNSET:
        parts += [Text("\nBody", style="bold"), _body(view.body)]
    return Group(*parts)


def _sender(letter: DeadLetterView) -> str:
    return f"{letter.origin} {letter.workflow}/{letter.name}"


def _entry(entry: AuditEntry) -> Text:
    text = Text(clean(f"{moment_text(entry.at)}  {entry.action} by {entry.actor}"))
    return text.append(clean(f": {entry.detail}"), style="dim") if entry.detail else text


def _body(body: msgspec.Raw | str | bytes) -> RenderableType:
    if isinstance(body, msgspec.Raw):
        return JSONHighlighter()(Text(clean_lines(msgspec.json.format(bytes(body), indent=2).decode())))
    if isinstance(body, bytes):
        return Text(f"{len(body)} bytes that are no text: {body[:200].hex(' ')}{' ...' if len(body) > 200 else ''}", style="dim")
    return Text(clean_lines(body))
