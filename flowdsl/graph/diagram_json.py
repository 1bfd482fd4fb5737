"""A diagram as JSON, for tools that draw for themselves."""

from __future__ import annotations

import msgspec

from flowdsl.graph.diagram import Diagram


def as_json(diagram: Diagram) -> str:
    """The fields of the model under their own names, indented, ending with a newline."""
    return msgspec.json.format(msgspec.json.encode(diagram), indent=2).decode() + "\n"
