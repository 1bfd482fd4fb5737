"""MODULE:NAME: from what is typed to the object."""

from __future__ import annotations

import difflib
import importlib
import sys
import traceback
from collections.abc import Iterable
from enum import Enum
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from flowdsl.cli.problem import TargetProblem
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.engine import Engine
from flowdsl.errors import FlowError

AnyWorkflow = Workflow[Any, Any]


def load_module(name: str) -> ModuleType:
    """Import a module, the current folder first on the path. What the library raises in it (a workflow that cannot work) passes;
    anything else becomes a TargetProblem with the file and line."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    if name.endswith(".py") or "/" in name:
        dotted = name.removesuffix(".py").replace("/", ".").strip(".")
        raise TargetProblem(f"{name!r} is a file, not a module.", remedy=f"Write {dotted}, as in an import.")
    if not all(part.isidentifier() for part in name.split(".")):
        raise TargetProblem(f"{name!r} is not the name of a module.", remedy="Write it as in an import: shop.orders")
    try:
        return importlib.import_module(name)
    except FlowError:
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise TargetProblem(
                f"there is no module {error.name!r}.",
                remedy=f"It is looked for in {here} and among what is installed.{_near(name)}",
            ) from error
        raise _broken(name, error) from error
    except Exception as error:
        raise _broken(name, error) from error


def load_engine(target: str) -> Engine:
    """The engine that MODULE:NAME names, or that the function of that name returns."""
    found = _load(target, Engine, "engine")
    if not isinstance(found, Engine) and callable(found) and not isinstance(found, type | Workflow):
        try:
            found = found()
        except FlowError:
            raise
        except Exception as error:
            raise _broken(target, error) from error
    if not isinstance(found, Engine):
        raise TargetProblem(
            f"{target} is a {type(found).__name__}, not an Engine or a function that returns one.",
            remedy="Name the object that Engine.from_url(...) gave you.",
        )
    return found


def load_workflow(target: str) -> AnyWorkflow:
    """The workflow that MODULE:NAME names; MODULE alone if it has only one."""
    found: object = None
    if ":" in target:
        found = _load(target, Workflow, "workflow")
        if isinstance(found, Engine) and len(found.workflows) == 1:
            found = found.workflows[0]
    else:
        workflows = workflows_of(load_module(target))
        if len(workflows) != 1:
            names = ", ".join(f"{target}:{name}" for name in workflows)
            raise TargetProblem(
                f"{target} has {len(workflows) or 'no'} workflows.", remedy=f"Name one: {names}" if names else None
            )
        (found,) = workflows.values()
    if not isinstance(found, Workflow):
        raise TargetProblem(
            f"{target} is a {type(found).__name__}, not a Workflow.",
            remedy="Name the Workflow: MODULE:NAME, or MODULE where it has one.",
        )
    return found


class Named(NamedTuple):
    """Workflows, and the namespace of the engine that has them (None: no engine was named)."""

    workflows: tuple[AnyWorkflow, ...]
    namespace: str | None


def load_workflows(target: str) -> Named:
    """The workflow that MODULE:NAME names, or those of the engine that it names or that the function of that name returns."""
    found = _load(target, Workflow, "workflow")
    if isinstance(found, Workflow):
        return Named((found,), None)
    engine = load_engine(target)
    return Named(engine.workflows, engine.namespace)


def workflows_of(module: ModuleType) -> dict[str, AnyWorkflow]:
    """The workflows of a module by the name they have there, those of its engines included, each once."""
    named: dict[str, AnyWorkflow] = {}
    for name, value in list(vars(module).items()):
        if isinstance(value, Workflow) and all(value is not other for other in named.values()):
            named[name] = value
    for value in list(vars(module).values()):
        if isinstance(value, Engine):
            for workflow in value.workflows:
                if all(workflow is not other for other in named.values()):
                    named[workflow.name] = workflow
    return named


def workflow_named(engine: Engine, name: str) -> AnyWorkflow:
    """The engine's workflow of a name."""
    for workflow in engine.workflows:
        if workflow.name == name:
            return workflow
    known = [workflow.name for workflow in engine.workflows]
    hint = f"{guess(name, known)}It has {', '.join(known) or 'none'}."
    raise TargetProblem(f"the engine has no workflow {name!r}.", remedy=hint)


def status_member(workflow: AnyWorkflow, text: str) -> Enum:
    """The status that a person means: by its stored text, or by the member's name."""
    member = named_member(workflow, text)
    if member is not None:
        return member
    known = [str(member.value) for member in workflow.status_type.__members__.values()]
    raise TargetProblem(
        f"workflow {workflow.name!r} has no status {text!r}.", remedy=f"{guess(text, known)}It has {', '.join(known)}."
    )


def named_member(workflow: AnyWorkflow, text: str) -> Enum | None:
    """The status of a stored text or a member's name; None: there is none."""
    members: list[Enum] = list(workflow.status_type.__members__.values())
    by_text = [member for member in members if str(member.value) == text]
    by_name = [member for member in members if member.name == text]
    return next(iter(by_text + by_name), None)


def guess(text: str, known: Iterable[str]) -> str:
    """What may have been meant, as the beginning of a remedy; upper and lower case are alike. Empty: nothing is like it."""
    folded = {name.casefold(): str(name) for name in known}
    near = difflib.get_close_matches(text.casefold(), folded, 1)
    return f"Did you mean {folded[near[0]]!r}? " if near else ""


def _load(target: str, kind: type[Any], noun: str) -> object:
    module_name, colon, path = target.partition(":")
    module = load_module(module_name)
    candidates = [name for name, value in vars(module).items() if isinstance(value, kind)]
    if not colon or not path:
        named = " or ".join(f"{module_name}:{name}" for name in candidates)
        raise TargetProblem(f"{target!r} names no {noun}.", remedy=f"Write {named or f'{module_name}:{noun}'}.")
    found: Any = module
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            near = difflib.get_close_matches(part, [*candidates, *(name for name in vars(module) if name[:1] != "_")], 1)
            offered = near or candidates[:1]
            raise TargetProblem(
                f"{module_name} has no {path!r}.", remedy=f"Did you mean {module_name}:{offered[0]}?" if offered else None
            ) from None
    return found


def _near(name: str) -> str:
    """A hint when a file of a like name lies in the current folder."""
    first = name.partition(".")[0]
    files = [path.stem for path in Path.cwd().glob("*.py")]
    files += [path.parent.name for path in Path.cwd().glob("*/__init__.py")]
    near = [other for other in difflib.get_close_matches(first, files, 1) if PathFinder.find_spec(other) is not None]
    return f" Did you mean {near[0]}?" if near else ""


def _broken(name: str, error: Exception) -> TargetProblem:
    """Somebody's code failed: say where, in the last frame that is a file of theirs."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    theirs = [frame for frame in frames if frame.filename != __file__]
    where = f" at {theirs[-1].filename}:{theirs[-1].lineno}" if theirs else ""
    if isinstance(error, SyntaxError):
        where = f" at {error.filename}:{error.lineno}"
    return TargetProblem(f"{name} failed{where}: {type(error).__name__}: {error}", remedy="flowdsl --debug shows the traceback.")
