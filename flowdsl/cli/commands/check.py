"""flowdsl check: are the workflows sound?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer
from msgspec import Struct

from flowdsl.cli import arguments
from flowdsl.cli.connection import NAMESPACE_VARIABLE, see
from flowdsl.cli.console import emit, say
from flowdsl.cli.exit_code import ExitCode
from flowdsl.cli.problem import TargetProblem
from flowdsl.cli.target import load_module, load_workflows, workflows_of
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.compatibility import DEFAULT_SAMPLE
from flowdsl.engine.engine import Engine
from flowdsl.engine.sentence import count
from flowdsl.errors import DefinitionError, WorkflowDefinitionError
from flowdsl.graph.finding import Finding


class Level(StrEnum):
    """What a finding means."""

    ERROR = "error"
    """The workflow cannot work."""
    WARNING = "warning"
    """It can, and may not do what was meant."""


class FindingView(Struct, frozen=True, kw_only=True):
    """A finding as a line; the keys of the JSON are these names."""

    workflow: str | None
    level: Level = Level.ERROR
    place: str
    code: str
    message: str
    remedy: str | None

    @classmethod
    def of(cls, finding: Finding, workflow: str | None, level: Level = Level.ERROR) -> FindingView:
        return cls(
            workflow=workflow,
            level=level,
            place=finding.place,
            code=finding.code,
            message=finding.message,
            remedy=finding.remedy or None,
        )

    @property
    def line(self) -> str:
        level = "" if self.level is Level.ERROR else f"{self.level}: "
        return f"{self.place}: {level}[{self.code}] {self.message} {self.remedy or ''}".rstrip()


def check(
    target: Annotated[
        str, typer.Argument(metavar="MODULE[:NAME]", help="A module with workflows, or one of them, or an engine.")
    ],
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 for warnings as well.")] = False,
    against: Annotated[
        str | None, typer.Option("--against", metavar="URL", help="A store: compare the code with the runs in it as well.")
    ] = None,
    sample: Annotated[
        int, typer.Option("--sample", min=1, help="With --against: runs of each status whose objects are read.")
    ] = DEFAULT_SAMPLE,
    namespace: arguments.Namespace = None,
    json: arguments.Json = False,
) -> None:
    """Check that workflows can work, and fit the runs that are stored: before a deployment, in CI.

    Every finding is a line; exit code 1 when there are errors. With --against the code is compared with unfinished runs as well.

    Warnings are about what may not have been meant; docs/diagrams.md says how to silence one at its place.
    """
    sound: Sequence[Workflow[Any, Any]] = ()
    space: str | None = None
    try:
        found, space = _targets(target)
        views = [FindingView.of(finding, flow.name) for flow in found for finding in flow.check()]
        views += [FindingView.of(finding, flow.name, Level.WARNING) for flow in found for finding in flow.lint()]
        sound = [flow for flow in found if not flow.check()]
    except WorkflowDefinitionError as error:  # the module makes an engine of it
        views = [FindingView.of(finding, None) for finding in error.findings if isinstance(finding, Finding)]
    except DefinitionError as error:
        text = str(error).removeprefix(f"{error.place}: ")
        remedy = error.remedy
        message = text if remedy is None else text.removesuffix(remedy).rstrip()
        views = [FindingView(workflow=None, place=error.place or target, code="declaration", message=message, remedy=remedy)]
    for view in views:
        if json:
            emit(view)
        else:
            say(view.line)
    if not json:
        for flow in sound:
            definition = flow.definition()
            say(f"{flow.name}: sound, {count(len(definition.steps), 'step')}, {len(definition.statuses)} statuses")
    if any(strict or view.level is Level.ERROR for view in views):
        raise typer.Exit(ExitCode.FINDINGS)
    if against is not None:
        _compare(sound, against, namespace or os.environ.get(NAMESPACE_VARIABLE) or space or "default", sample, json)


def _targets(target: str) -> tuple[list[Workflow[Any, Any]], str | None]:
    """The workflows that are meant, and the namespace of the engine, if one was named."""
    if ":" in target:
        named = load_workflows(target)
        return list(named.workflows), named.namespace
    found = list(workflows_of(load_module(target)).values())
    if not found:
        raise TargetProblem(f"{target} has no workflows.", remedy="Name the module in which they are made.")
    return found, None


def _compare(workflows: Sequence[Workflow[Any, Any]], url: str, namespace: str, sample: int, json: bool) -> None:
    see(url)
    client = Engine.client(*workflows, store=url, namespace=namespace)
    try:
        found = client.migrations.fits(sample)
    finally:
        client.stop()
    misfits = [misfit for fit in found for misfit in fit.misfits]
    for misfit in misfits:
        if json:
            emit(misfit)
        else:
            say(f"{misfit.workflow}: [{misfit.kind}] {misfit.message} {misfit.remedy} (e.g. run {misfit.example})")
    if not json:
        for fit in found:
            how = count(len(fit.misfits), "misfit") if fit.misfits else "fits"
            moving = f", {fit.migrating} to be migrated" if fit.migrating else ""
            say(f"{fit.workflow}: {how}, {count(fit.runs, 'unfinished run')}, {fit.sampled} looked at{moving}")
    if misfits:
        raise typer.Exit(ExitCode.FINDINGS)
