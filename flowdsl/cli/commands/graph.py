"""flowdsl graph: a workflow as a diagram."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from flowdsl.cli import arguments
from flowdsl.cli.connection import connected
from flowdsl.cli.console import note
from flowdsl.cli.diagrams import Format, Style, drawn
from flowdsl.cli.problem import UsageProblem
from flowdsl.cli.target import load_workflow
from flowdsl.graph.build import Direction, Theme
from flowdsl.graph.diagram import Diagram
from flowdsl.graph.traffic import Traffic
from flowdsl.model.query import MAX_PAGE, Cursor

OF_SUFFIX = {".mmd": Format.MERMAID, ".md": Format.TABLE, ".txt": Format.TEXT} | {
    f".{format_.value}": format_ for format_ in (Format.DOT, Format.SVG, Format.PNG, Format.PDF, Format.JSON)
}
"""The format of a file that was asked for by its name alone."""


def graph(
    target: Annotated[str, typer.Argument(metavar="MODULE:WORKFLOW", help="A workflow; MODULE alone if it has only one.")],
    format_: Annotated[
        Format | None, typer.Option("--format", "-f", help="What to make. Default: as --out is called, else mermaid.")
    ] = None,
    direction: Annotated[
        Direction | None, typer.Option("--direction", "-d", help="Where arrows point. Default: LR.", case_sensitive=False)
    ] = None,
    notes: Annotated[bool, typer.Option("--notes", help="What the functions say about themselves, in Mermaid.")] = False,
    theme: Annotated[Theme | None, typer.Option("--theme", help="Mermaid's colours.")] = None,
    runs: Annotated[
        str | None,
        typer.Option("--runs", metavar="URL", help="Draw what became of the newest runs on this store: counts, times, failures."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="With --runs: at most this many.")] = 500,
    namespace: arguments.Namespace = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write it there instead of printing it.")
    ] = None,
) -> None:
    """Draw a workflow, sound or not: Mermaid for documents, Graphviz pictures, a table, JSON, or text for this terminal."""
    chosen = format_ or _named(out) or Format.MERMAID
    diagram = load_workflow(target).graph.diagram()
    if runs is not None:
        diagram = _with_runs(diagram, runs, namespace, limit)
    elif namespace is not None:
        raise UsageProblem("--namespace is for --runs.", remedy="Give --runs URL as well.")
    content = drawn(diagram, chosen, Style(direction=direction, notes=notes, theme=theme))
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(content)
        return
    if chosen in (Format.PNG, Format.PDF) and sys.stdout.isatty():
        raise UsageProblem(f"a {chosen.value} is not for a terminal.", remedy=f"Give --out FILE.{chosen.value}")
    sys.stdout.buffer.write(content)


def _named(out: Path | None) -> Format | None:
    if out is None:
        return None
    if out.suffix not in OF_SUFFIX:
        raise UsageProblem(
            f"{out.name!r} does not say what to make.",
            remedy="Give --format, or a name with one of " + ", ".join(OF_SUFFIX) + ".",
        )
    return OF_SUFFIX[out.suffix]


def _with_runs(diagram: Diagram, url: str, namespace: str | None, limit: int) -> Diagram:
    """The diagram with what became of the newest runs, page by page."""
    traffic = Traffic()
    following: Cursor | None = None
    with connected(url, None, namespace) as engine:
        while traffic.runs < limit:
            page = engine.runs(diagram.title, limit=min(limit - traffic.runs, MAX_PAGE), after=following)
            for record in page.runs:
                traffic.add(record, engine.handle(record.run_id).history())
            following = page.next
            if following is None:
                break
    if following is not None:
        note(f"There are more runs than the {limit} newest, which were counted. Count more: --limit")
    return replace(traffic.drawn(diagram), title=f"{diagram.title}: {traffic.runs} run{'s' if traffic.runs != 1 else ''}")
