"""flowdsl docs: pages of workflows, made and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from flowdsl.cli.console import note, say
from flowdsl.cli.exit_code import ExitCode
from flowdsl.cli.problem import TargetProblem, UsageProblem
from flowdsl.cli.target import load_module, load_workflow, workflows_of
from flowdsl_docs.check import difference, differences, write
from flowdsl_docs.extract import AnyWorkflow
from flowdsl_docs.inject import injected
from flowdsl_docs.site import TITLE, Form, site

docs = typer.Typer(help="Make pages of workflows, and check that they are up to date.")

Targets = Annotated[list[str], typer.Argument(metavar="MODULE[:WORKFLOW]...", help="Modules with workflows, or single ones.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", metavar="FOLDER", help="The folder of the pages.")]
Forms = Annotated[list[Form] | None, typer.Option("--format", "-f", help="What the pages are written in. Default: both.")]
Title = Annotated[str, typer.Option("--title", help="Of the index.")]
Inject = Annotated[
    list[Path] | None,
    typer.Option(
        "--inject",
        metavar="FILE",
        help="A Markdown file with <!-- flowdsl: diagram NAME --> and <!-- /flowdsl -->: fill what is between.",
    ),
]


@docs.command()
def build(targets: Targets, out: Out = None, formats: Forms = None, title: Title = TITLE, inject: Inject = None) -> None:
    """Write a page per workflow, an index and an AsyncAPI document; fill the marked parts of other pages."""
    workflows = _loaded(targets)
    changed: list[Path] = []
    if out is not None:
        changed += write(site(list(workflows.values()), formats or list(Form), title), out)
    for path, text in _injected(workflows, out, inject).items():
        if path.read_text("utf-8") != text:
            path.write_text(text, "utf-8", newline="\n")
            changed.append(path)
    for path in changed:
        say(f"{path}")
    if not changed:
        note("Everything was up to date.")


@docs.command()
def check(targets: Targets, out: Out = None, formats: Forms = None, title: Title = TITLE, inject: Inject = None) -> None:
    """Print a diff of every page that is not up to date, and end with exit code 1 if there is one. Options as for build."""
    workflows = _loaded(targets)
    found: list[str] = []
    if out is not None:
        found += differences(site(list(workflows.values()), formats or list(Form), title), out)
    for path, text in _injected(workflows, out, inject).items():
        found += difference(path, path.read_text("utf-8"), text)
    for diff in found:
        typer.echo(diff, nl=False)
    if found:
        note("Make them anew: flowdsl docs build, with the same arguments.")
        raise typer.Exit(ExitCode.FINDINGS)


def _injected(workflows: Mapping[str, AnyWorkflow], out: Path | None, inject: Sequence[Path] | None) -> Mapping[Path, str]:
    """The new texts of the files to fill."""
    if out is None and not inject:
        raise UsageProblem("there is nothing to make.", remedy="Give --out FOLDER, --inject FILE, or both.")
    texts: dict[Path, str] = {}
    for path in inject or ():
        if not path.is_file():
            raise UsageProblem(f"there is no file {path}.", remedy="--inject fills files that exist.")
        texts[path] = injected(path.read_text("utf-8"), workflows, str(path))
    return texts


def _loaded(targets: Sequence[str]) -> Mapping[str, AnyWorkflow]:
    """The workflows by name."""
    named: dict[str, AnyWorkflow] = {}
    for target in targets:
        found = [load_workflow(target)] if ":" in target else list(workflows_of(load_module(target)).values())
        if not found:
            raise TargetProblem(f"{target} has no workflows.", remedy="Name the module in which they are made.")
        for workflow in found:
            if named.setdefault(workflow.name, workflow) is not workflow:
                raise TargetProblem(f"two workflows are called {workflow.name!r}.", remedy="Give each a folder of its own.")
    return named
