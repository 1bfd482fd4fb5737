"""examples.workflows has every workflow of the examples, so that diagrams and pages leave none out."""

from __future__ import annotations

import ast

from examples import workflows
from tests.house.source import read


def names_in(text: ast.AST) -> set[str]:
    """The names that workflows are made under."""
    calls = (node for node in ast.walk(text) if isinstance(node, ast.Call) and ast.unparse(node.func) == "Workflow")
    return {call.args[0].value for call in calls if call.args and isinstance(call.args[0], ast.Constant)}  # type: ignore[misc]


def test_every_workflow_of_the_examples_is_there() -> None:
    made = set().union(*(names_in(file.tree) for file in read("examples")))

    assert {getattr(workflows, name).name for name in workflows.__all__} == made
    assert "orders" in made
