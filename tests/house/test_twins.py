"""A blocking verb that is called on an event loop says what to write instead: that has to be there."""

from __future__ import annotations

import ast
import inspect
from functools import reduce
from typing import Any

from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.engine import Engine
from flowdsl.model.bulk import BulkVerb
from tests.behaviour.world import Status, Thing
from tests.house.source import library


def named() -> list[str]:
    """What the library's files say, e.g. engine.aio.runs."""
    found: set[str] = set()
    for file in library():
        for node in ast.walk(file.tree):
            if not isinstance(node, ast.Call) or ast.unparse(node.func) != "refuse_on_loop":
                continue
            for said in node.args[:2]:
                if isinstance(said, ast.Constant):
                    found.add(str(said.value))
                else:
                    found.update(ast.unparse(said)[2:-1].replace("{verb.value}", verb.value) for verb in BulkVerb)
    return sorted(found - {"asyncio.to_thread"})


def test_every_verb_that_is_named_exists() -> None:
    workflow = Workflow("things", object_type=Thing, status_type=Status)
    workflow.step(from_=Status.NEW, to=Status.DONE)(lambda run: None)
    engine = Engine.client(workflow, store="memory://")
    roots = {"engine": engine, "handle": engine.trigger(workflow, "t", Thing())}
    verbs = named()
    wrong: list[str] = []
    for verb in verbs:
        root, *path = verb.split(".")
        found: Any = reduce(lambda at, name: getattr(at, name, None), path, roots[root])
        if not callable(found) or inspect.iscoroutinefunction(found) != ("aio" in path):
            wrong.append(verb)
    engine.stop()
    assert wrong == []
    assert len(verbs) > 60
