"""Diagrams in pages that people write: what stands between two comments is made anew.

    <!-- flowdsl: diagram orders -->
    <!-- /flowdsl -->

The first names a form and a workflow, and may go on with `direction=TB` and `notes`. Markers inside fenced code are left alone.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Callable, Iterator, Mapping

from flowdsl.cli.problem import UsageProblem
from flowdsl.graph.build import Direction, FlowGraph
from flowdsl_docs.extract import AnyWorkflow
from flowdsl_docs.markdown import fence

_BEGIN = re.compile(r"^<!--\s*flowdsl:\s*(.*?)\s*-->\s*$")
_END = re.compile(r"^<!--\s*/flowdsl\s*-->\s*$")
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")


def _mermaid(graph: FlowGraph, direction: Direction, notes: bool) -> str:
    return fence("mermaid", graph.mermaid(direction, notes=notes))


def _flowchart(graph: FlowGraph, direction: Direction, notes: bool) -> str:
    return fence("mermaid", graph.flowchart(direction, notes=notes))


FORMS: Mapping[str, Callable[[FlowGraph, Direction, bool], str]] = {
    "diagram": _mermaid,
    "flowchart": _flowchart,
    "table": lambda graph, direction, notes: graph.table().rstrip("\n"),
    "text": lambda graph, direction, notes: fence("text", graph.text()),
}


def injected(text: str, workflows: Mapping[str, AnyWorkflow], where: str) -> str:
    """The text with every marked part made anew. In: workflows by name; what to call the text in errors. Raises UsageProblem
    for markers that cannot be followed, and for a text without any."""
    lines = list(_lines(text.split("\n"), workflows, where))
    if lines == text.split("\n") and not any(_BEGIN.match(line) for line in lines):
        raise UsageProblem(f"{where} has no place for a diagram.", remedy=_HOW)
    return "\n".join(lines)


_HOW = "Write <!-- flowdsl: diagram NAME --> and <!-- /flowdsl --> on lines of their own."


def _lines(lines: list[str], workflows: Mapping[str, AnyWorkflow], where: str) -> Iterator[str]:
    fenced, begun = "", 0
    for number, line in enumerate(lines, 1):
        if begun:
            if _END.match(line):
                begun = 0
                yield line
            elif _BEGIN.match(line):
                break
            continue
        yield line
        mark = _FENCE.match(line)
        if mark and (not fenced or mark[1].startswith(fenced)):
            fenced = "" if fenced else mark[1]
        begin = None if fenced else _BEGIN.match(line)
        if begin is not None:
            begun = number
            yield from ["", *_made(begin[1], workflows, f"{where}:{number}").split("\n"), ""]
    if begun:
        raise UsageProblem(f"{where}:{begun}: the part has no end.", remedy="Write <!-- /flowdsl --> on a line after it.")


def _made(words: str, workflows: Mapping[str, AnyWorkflow], where: str) -> str:
    try:
        form, name, *style = shlex.split(words)
    except ValueError as error:
        raise UsageProblem(f"{where}: {words!r} does not say what to draw.", remedy=_HOW) from error
    if form not in FORMS:
        raise UsageProblem(f"{where}: there is no form {form!r}.", remedy=_offer(form, list(FORMS)))
    if name not in workflows:
        raise UsageProblem(f"{where}: there is no workflow {name!r}.", remedy=_offer(name, list(workflows)))
    graph = workflows[name].graph
    direction, notes = graph.diagram().fitting, False
    for word in style:
        wanted = word.removeprefix("direction=").upper()
        if word == "notes":
            notes = True
        elif word.startswith("direction=") and wanted in Direction.__members__:
            direction = Direction[wanted]
        else:
            raise UsageProblem(f"{where}: {word!r} says nothing.", remedy="There are notes, and direction=LR, RL, TB or BT.")
    return FORMS[form](graph, direction, notes)


def _offer(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word, known, 1)
    return f"Did you mean {near[0]!r}?" if near else f"There is {', '.join(known) or 'none'}."
