"""The README tells the truth: its Python runs, its commands exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from flowdsl.cli.main import app
from flowdsl.options import StepOptions

README = Path(__file__).parent.parent.parent / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), re.S)


def test_every_python_block_runs_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "readme"}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec", dont_inherit=True), names)  # noqa: S102 - the README's own words
    out = capsys.readouterr().out
    assert "shipping order-1" in out
    assert re.search(r"shipped paid-\S+:1\n", out)
    assert "shipping order-2" in out


def commands() -> list[list[str]]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("flowdsl ")]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_line_is_understood(words: list[str]) -> None:
    command = get_command(app)
    context = command.make_context("flowdsl", list(words), resilient_parsing=False)
    with context:
        name, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])  # type: ignore[attr-defined]
        assert found is not None
        while hasattr(found, "resolve_command") and rest:
            name, found, rest = found.resolve_command(context, rest)
        found.make_context(name, rest, parent=context)


def test_there_are_two_commands_that_do_all_the_set_up() -> None:
    text = README.read_text()
    for heading in ("Run it", "Test it"):
        section = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
        found = re.findall(r"```sh\n(.*?)```", section, re.S)
        assert len(found) == 1
        assert found[0].count("\n") == 1


def test_every_option_is_in_the_table() -> None:
    table = README.read_text().split("## Options", 1)[1].split("\n## ", 1)[0]
    assert set(re.findall(r"^\| `(\w+)`", table, re.M)) == set(StepOptions.__annotations__)


def test_the_metric_names_are_the_engines() -> None:
    from flowdsl.engine.metrics import Metrics

    known = {metric.name for metric in Metrics().registry.collect()}
    named = set(re.findall(r"`(workflow_\w+)`", README.read_text()))
    assert named
    assert named <= known, named - known
