"""flowdsl graph: a workflow as diagram text."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from flowdsl.cli.problem import UsageProblem
from flowdsl.cli.target import load_workflow


class Format(StrEnum):
    """Languages of diagrams."""

    MERMAID = "mermaid"
    DOT = "dot"


class Towards(StrEnum):
    """Where the arrows point."""

    LR = "LR"
    RL = "RL"
    TB = "TB"
    BT = "BT"


def graph(
    target: Annotated[str, typer.Argument(metavar="MODULE:WORKFLOW", help="A workflow; MODULE alone if it has only one.")],
    format_: Annotated[Format, typer.Option("--format", "-f", help="The language of the text.")] = Format.MERMAID,
    direction: Annotated[
        Towards | None, typer.Option("--direction", "-d", help="Of a Mermaid diagram. Default: LR.", case_sensitive=False)
    ] = None,
) -> None:
    """Print a workflow's diagram, sound or not: Mermaid for documents, DOT for Graphviz."""
    if format_ is Format.DOT and direction is not None:
        raise UsageProblem("--direction is for Mermaid.", remedy=f"Tell Graphviz: dot -Grankdir={direction.value} -Tsvg")
    found = load_workflow(target).graph
    sys.stdout.write(found.dot() if format_ is Format.DOT else found.mermaid((direction or Towards.LR).value))
