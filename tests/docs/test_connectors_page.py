"""The page on connectors tells the truth: its Python runs, its options and sources are the library's."""

from __future__ import annotations

import importlib
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

from flowdsl.dsl.connector_options import DEFAULT_DEAD_LETTER_AFTER, ConnectorOptions
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine import connector_consumer
from flowdsl.ports.connector_source import ConnectorSource
from flowdsl_kombu.connector_source import PREFETCH
from flowdsl_sql.table_log import LATE
from flowdsl_sql.table_queue import HOLD
from tests.behaviour.world import Status, Thing

PAGE = (Path(__file__).parent.parent.parent / "docs" / "connectors.md").read_text("utf-8")


def run(number: int) -> dict[str, Any]:
    """The names that a Python block leaves."""
    block = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[number]
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(block, "docs/connectors.md", "exec", dont_inherit=True), names)  # noqa: S102 - the page's own
    return names


def test_the_first_connector_and_its_test_work() -> None:
    orders = Workflow("orders", object_type=Thing, status_type=Status)
    orders.callback(from_=Status.NEW, to=Status.DONE)(lambda run, payload: None)
    run(0)["connect"](orders, Status.NEW)

    assert orders.connectors["courier"].body.decode(b'{"order": "o", "driver": "Ada"}').driver == "Ada"
    checked = Workflow("orders", object_type=Thing, status_type=Status)
    checked.step(from_=Status.NEW, to=Status.DONE)(lambda run: None)
    seen: list[str] = []
    checked.connector("courier")(lambda engine, event: seen.append(event.event_id))
    run(2)["check_that_a_pickup_arrives"](checked)
    assert seen == ["e-1"]


def test_the_sources_that_are_shown_can_be_made() -> None:
    made = run(1)["sources"]

    assert len(made) == 7
    assert all(callable(source.open) for source in made)


def test_every_source_of_the_table_is_one() -> None:
    rows = re.findall(r"^\| `([\w.]+)`", PAGE.split("\n## Sources\n")[1], re.MULTILINE)

    assert len(rows) == 7
    for name in rows:
        module, _, kind = name.rpartition(".")
        assert ConnectorSource in getattr(importlib.import_module(module), kind).__mro__, name


def test_every_option_is_in_the_table() -> None:
    section = PAGE.split("\n## Options\n")[1].split("\n## ")[0]

    assert set(re.findall(r"^\| `(\w+)`", section, re.MULTILINE)) == set(ConnectorOptions.__annotations__)


def test_the_figures_are_the_librarys() -> None:
    for said in (
        f"at most {connector_consumer.LEAST_IN_HAND} events in hand",
        f"failures; 0 or `None`: never | {DEFAULT_DEAD_LETTER_AFTER} |",
        f"`prefetch` ({PREFETCH})",
        f"within `late` ({LATE // timedelta(seconds=1)} s)",
    ):
        assert said in PAGE, said
    assert (HOLD, "renewed every ten seconds" in PAGE) == (10.0, True)
