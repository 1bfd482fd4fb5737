"""Warnings about a workflow: what may be wrong with its graph, its options and the bodies of its functions."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from enum import Enum

from flowdsl.dsl.body import answers
from flowdsl.dsl.registry import Registry
from flowdsl.dsl.source import Sources
from flowdsl.dsl.spec import Place, StepSpec
from flowdsl.graph.build import FlowGraph
from flowdsl.graph.finding import Finding
from flowdsl.graph.lint import lint as lint_graph
from flowdsl.options import ZERO

CODES = {
    "never-finishes": "A run that gets to this status can never finish.",
    "no-timeout": "A status waits for a callback and has no timeout.",
    "unguarded-cycle": "A run can go round by steps alone, without a wait.",
    "unbounded-retry": "What fails is tried again without end.",
    "undeclared-answer": "A body answers a status that it did not declare.",
    "unanswered-destination": "A body never answers a status that it declared.",
    "no-answer": "A body may answer nothing although it has several destinations.",
    "unknown-code": "A comment silences a warning that does not exist.",
}
"""Every code, and what it means."""


def lint(graph: FlowGraph, registry: Registry, place: Place, status_type: type[Enum]) -> list[Finding]:
    """In: what is declared, and where the workflow is made. Out: the warnings that no comment at their place silences."""
    places = {spec.from_key: spec.place for spec in reversed(registry.movers)}
    paced = {spec.from_key for spec in registry.steps if spec.options.consume_lag > ZERO}
    sources = Sources()
    found = lint_graph(graph, lambda status: str(places.get(status, place)), paced)
    for what, specs in (("step", registry.steps), ("callback", registry.callbacks), ("timeout", registry.timeouts)):
        for spec in specs:
            found += _retry(spec, f"{what} {spec.name}")
            found += _body(spec, f"{what} {spec.name}", sources, status_type)
    heads = {str(spec.place): spec.place for spec in registry.movers} | {str(place): place}
    heard = [finding for finding in found if not _silenced(finding, heads, sources)]
    return heard + [finding for head in heads.values() for finding in _unknown_codes(head, sources)]


def _retry(spec: StepSpec, who: str) -> Iterator[Finding]:
    if not spec.options.pause_after_err_count:
        yield Finding(
            "unbounded-retry",
            f"{who} is tried again without end when it fails.",
            str(spec.place),
            "Give it a pause_after_err_count of 1 or more.",
        )


def _body(spec: StepSpec, who: str, sources: Sources, status_type: type[Enum]) -> Iterator[Finding]:
    node = sources.function(spec.place, spec.name)
    if node is None:
        return
    found = answers(node, spec.fn, status_type)
    declared = ", ".join(spec.to_keys)
    for member, line in found.statuses.items():
        if member not in spec.to:
            yield Finding(
                "undeclared-answer",
                f"{who} answers {member.name}, which its to= does not name.",
                str(Place(spec.place.file, line)),
                f"Add it to to=, or answer one of {declared}.",
            )
    if len(spec.to) > 1:
        for line in found.nothing[:1]:
            yield Finding(
                "no-answer",
                f"{who} {'answers nothing here' if line else 'may end without an answer'}.",
                str(Place(spec.place.file, line) if line else spec.place),
                f"Return one of {declared}, or an outcome of the run.",
            )
    for member in spec.to:
        meant = member in found.statuses or (len(spec.to) == 1 and found.nothing)
        if found.complete and not meant:
            yield Finding(
                "unanswered-destination",
                f"{who} never answers {member.name}.",
                str(spec.place),
                "Take it out of to=, or answer it.",
            )


def _silenced(finding: Finding, heads: dict[str, Place], sources: Sources) -> bool:
    """By a comment on the finding's own line, or in the head of the function that it is about."""
    file, _, line = finding.place.rpartition(":")
    source = sources.file(file)
    if finding.code in source.silenced(int(line)):
        return True
    around = [head for head in heads.values() if head.file == file and head.line <= int(line)]
    nearest = max(around, key=lambda head: head.line, default=None)
    return nearest is not None and finding.code in source.silenced(nearest.line)


def _unknown_codes(head: Place, sources: Sources) -> Iterator[Finding]:
    for code in sorted(sources.file(head.file).silenced(head.line) - set(CODES)):
        near = difflib.get_close_matches(code, CODES, 1)
        yield Finding(
            "unknown-code",
            f"there is no warning {code!r} to silence.",
            str(head),
            f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(CODES)}.",
        )
