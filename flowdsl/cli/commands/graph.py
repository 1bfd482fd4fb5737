"""flowdsl graph: a workflow as a diagram."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from flowdsl.cli.diagrams import Format, Style, drawn
from flowdsl.cli.problem import UsageProblem
from flowdsl.cli.target import load_workflow
from flowdsl.graph.build import Direction, Theme

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
    theme: Annotated[Theme | None, typer.Option("--theme", help="One of Mermaid's themes.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write it there instead of printing it.")
    ] = None,
) -> None:
    """Draw a workflow, sound or not: Mermaid for documents, Graphviz pictures, a table, JSON, or text for this terminal."""
    chosen = format_ or _named(out) or Format.MERMAID
    diagram = load_workflow(target).graph.diagram()
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
