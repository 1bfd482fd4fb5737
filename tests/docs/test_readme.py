"""The README tells the truth: its Python runs, its commands exist, its names are the library's."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from typer.main import get_command

from flowdsl.cli.main import app
from flowdsl.engine.metrics import Metrics
from flowdsl.options import StepOptions

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text("utf-8")
NEEDS_A_SERVER = re.compile(r"postgresql|^flowdsl run ")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def section(heading: str) -> str:
    return README.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


FIRST, CALENDAR, CLIENT, BROKER, CONNECTOR, TESTS = blocks("python")
COMMANDS = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("flowdsl ")]


def call(folder: Path, *command: str) -> str:
    """What a command prints, started in the folder as a reader would; it has to succeed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *command], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def flowdsl(folder: Path, line: str) -> str:
    return call(folder, "-c", "from flowdsl.cli.main import main; main()", *shlex.split(line)[1:])


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with shop.py, which was started once."""
    (tmp_path / "shop.py").write_text(FIRST)
    out = call(tmp_path, "shop.py")
    assert re.fullmatch(r"shipping order-1\nshipped paid-\S+:1\n", out)
    return tmp_path


def test_the_engine_with_a_broker_works(shop: Path) -> None:
    use = """
from shop import Order

with engine:
    print(engine.trigger(orders, "order-9", Order(total=10)).wait().state.label)
"""
    (shop / "broker.py").write_text(BROKER + use)
    assert "Completed" in call(shop, "broker.py")


def test_the_connector_starts_a_run_for_a_message_of_a_queue(shop: Path) -> None:
    use = """
import threading
from kombu.connection import Connection

with Connection("memory://") as connection:
    channel = connection.channel()
    channel.queue_declare(queue="web-orders")
    message = channel.prepare_message('{"number": "web-1", "total": 700}', properties={"message_id": "m-1"})
    channel.basic_publish(message, exchange="", routing_key="web-orders")
with engine:
    for _ in range(200):
        found = engine.runs(orders, foreign_ids=["web-1"]).runs
        if found:
            break
        threading.Event().wait(0.1)
    print(engine.latest(orders, "web-1").wait().object.total)
"""
    (shop / "connector.py").write_text(CONNECTOR.replace("amqp://user@host//", "memory://") + use)
    assert "700" in call(shop, "connector.py")


def test_the_commands_after_the_first_workflow_do_what_they_say(shop: Path) -> None:
    said = {line: flowdsl(shop, line) for line in COMMANDS if not NEEDS_A_SERVER.search(line)}

    assert [line.split()[1] for line in said] == ["graph", "runs", "show", "trigger", "check"]
    graph, runs, show, trigger, check = said.values()
    assert "stateDiagram-v2" in graph
    assert "order-1" in runs
    assert "orders/order-1" in show
    assert "charge" in show
    assert "order-2" in trigger
    assert "orders" in check


def test_schedules_are_declared_made_and_previewed(shop: Path) -> None:
    use = """
from datetime import timedelta
from flowdsl.testing.stepped import SteppedEngine

engine.stop()
with SteppedEngine(orders) as stepped:
    stepped.advance(timedelta(days=1))
    print(stepped.schedules.get(orders, "morning").started)
"""
    (shop / "calendar_of_orders.py").write_text(CALENDAR + use)
    *previewed, shipping, started = call(shop, "calendar_of_orders.py").splitlines()

    assert len(previewed) == 3
    assert (shipping, started) == ("shipping morning", "1")


def test_a_client_triggers_and_asks(shop: Path) -> None:
    (shop / "web.py").write_text(CLIENT)

    assert call(shop, "web.py") == "True Initiated ['created']\n"
    assert call(shop, "web.py") == "False Initiated ['created']\n", "the key answers with the first one's run"


def test_the_tests_of_the_readme_pass(shop: Path) -> None:
    (shop / "test_shop.py").write_text(TESTS)

    assert "2 passed" in call(shop, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_shop.py")


def test_the_first_workflow_is_short() -> None:
    assert len([line for line in FIRST.splitlines() if line]) <= 30


def test_every_python_block_has_types_that_the_library_exports() -> None:
    import flowdsl as library

    for block in blocks("python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module == "flowdsl":
                assert {alias.name for alias in node.names} <= set(library.__all__)


def parse(line: str) -> None:
    """Let the command line read a command without running it. Its classes are click's or, with a later Typer, Typer's own."""
    command: Any = get_command(app)
    words, parent = shlex.split(line)[1:], None
    while hasattr(command, "commands"):
        if command.invoke_without_command and words[:1] and words[0].startswith("-"):
            break  # `flowdsl runs --state paused`: the group is a command itself
        parent = command.make_context(command.name, words[:1], parent=parent)
        _, command, words = command.resolve_command(parent, words)
    command.make_context(command.name, words, parent=parent)


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_line_is_understood(line: str) -> None:
    parse(line)


@pytest.mark.parametrize(
    ("line", "said"),
    [("flowdsl shwo x", "No such command"), ("flowdsl db up", "No such command"), ("flowdsl run a:b --nope", "No such option")],
)
def test_a_wrong_command_line_would_be_found(line: str, said: str) -> None:
    with pytest.raises(Exception, match=said):
        parse(line)


def test_the_commands_named_in_the_text_are_all_there_are() -> None:
    command: Any = get_command(app)

    assert set(re.findall(r"`flowdsl ([a-z][a-z-]*)[^`]*`", README)) == set(command.commands)


def test_every_option_is_in_the_table() -> None:
    assert set(re.findall(r"^\| `(\w+)`", section("Options"), re.MULTILINE)) == set(StepOptions.__annotations__)


def test_the_metrics_named_are_the_metrics_there_are() -> None:
    registry = CollectorRegistry()
    Metrics(registry).observe_depths(dict)

    assert set(re.findall(r"`(workflow_\w+)`", README)) == {metric.name for metric in registry.collect()}


def test_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)]+)\)", README)

    assert targets
    assert [target for target in targets if "://" not in target and not (ROOT / target).exists()] == []
    assert (ROOT / "CONTRIBUTING.md").exists()


@pytest.mark.parametrize("heading", ["Run it", "Test it"])
def test_one_command_does_all_the_set_up(heading: str) -> None:
    found = re.findall(r"^```sh\n(.*?)^```$", section(heading), re.MULTILINE | re.DOTALL)

    assert len(found) == 1
    assert re.fullmatch(r"python3 -m venv \.venv && \.venv/bin/pip install .+ && \.venv/bin/python -m .+\n", found[0])
