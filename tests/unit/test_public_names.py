"""What `import flowdsl` gives, and what its help says."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

import flowdsl
from flowdsl.engine.bulk import Bulk
from flowdsl.engine.callbacks import CallbackOptions
from flowdsl.engine.dead_letters import DeadLetters
from flowdsl.engine.migrations import Migrations
from flowdsl.engine.schedules import Schedules
from flowdsl.engine.subscription import Subscription
from flowdsl.engine.trigger_options import TriggerOptions

CLASSES = [kind for kind in map(vars(flowdsl).get, flowdsl.__all__) if isinstance(kind, type)]
BEHIND = [Bulk, DeadLetters, Migrations, Schedules, Subscription]
"""What an engine hands out."""


def docstrings(kind: type) -> Iterator[str]:
    for base in kind.__mro__:
        if base.__module__.startswith("flowdsl"):
            yield base.__doc__ or ""
            yield from (str(getattr(member, "__doc__", "")) for name, member in vars(base).items() if not name.startswith("_"))


@pytest.mark.parametrize("kind", [*CLASSES, *BEHIND], ids=lambda kind: kind.__name__)
def test_every_error_that_a_public_docstring_names_can_be_imported_from_flowdsl(kind: type) -> None:
    named = {error for text in docstrings(kind) for error in re.findall(r"\b[A-Z]\w+Error\b", text)}

    assert named <= set(flowdsl.__all__)


def test_the_public_names_are_sorted_and_there() -> None:
    assert flowdsl.__all__ == sorted(flowdsl.__all__)
    assert all(hasattr(flowdsl, name) for name in flowdsl.__all__)


def test_the_help_of_a_verb_names_each_of_its_options() -> None:
    assert [name for name in TriggerOptions.__annotations__ if f"`{name}`" not in (flowdsl.Engine.trigger.__doc__ or "")] == []
    assert [name for name in CallbackOptions.__annotations__ if f"`{name}`" not in (flowdsl.Engine.callback.__doc__ or "")] == []
