"""The parts of the reference that are read off the code have all of it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from typer.main import get_command

from docs import generated
from flowdsl.cli.exit_code import ExitCode
from flowdsl.cli.main import app
from flowdsl.engine.discovery import ROLES, STORES, STREAMERS, schemes
from flowdsl.engine.metrics import Metrics
from tests.docs.test_docs import ROOT


def test_every_command_has_a_heading_its_usage_and_its_options() -> None:
    page = generated.commands()
    commands: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
    inner = [f"{name} {each}" for name, group in commands.items() for each in getattr(group, "commands", {})]

    assert set(re.findall(r"^## flowdsl ([\w -]+)$", page, re.MULTILINE)) == {*commands, *inner}
    assert "flowdsl trigger [OPTIONS]" in page
    assert "`-o, --object JSON\\|@FILE\\|-`" in page


def test_what_is_hidden_stays_hidden() -> None:
    assert "--leash" not in generated.commands()


def test_every_exit_code_is_there() -> None:
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", generated.exit_codes(), re.MULTILINE)] == list(ExitCode)


def test_every_metric_is_there_with_its_labels() -> None:
    registry = CollectorRegistry()
    Metrics(registry).observe_depths(dict)
    table = generated.metrics()

    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == {metric.name for metric in registry.collect()}
    assert "| `workflow_queue_depth` | gauge | `workflow_name`, `status` |" in table
    assert "| `workflow_commit_seconds` | histogram |  |" in table
    assert "| `workflow_process_skipped_events_count` | gauge | `workflow_name`, `process_name`, `reason` |" in table


def test_every_scheme_is_there_with_what_its_function_says() -> None:
    for group, title in generated.PARTS.items():
        section = generated.addresses().split(f"## {title}\n")[1].split("\n## ")[0]
        assert set(re.findall(r"`(\w+)://`[,\n]", section)) == set(schemes(group)), title
    assert set(generated.PARTS) == {STORES, STREAMERS, ROLES}


@pytest.mark.parametrize("name", generated.GENERATORS)
def test_every_part_is_made_and_stands_in_a_page(name: str) -> None:
    pages = "".join(path.read_text("utf-8") for path in (ROOT / "docs" / "reference").glob("*.md"))

    assert generated.GENERATORS[name]()
    assert f"```{{generated}} {name}\n" in pages
