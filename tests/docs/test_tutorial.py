"""The tutorial tells the truth: its program, changed as it says, does what it shows."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "tutorial.md").read_text("utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(python|sh|text)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
WORKER = "flowdsl run claims:engine"
"""The command that never ends by itself."""
RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def name_of(statement: ast.stmt) -> str:
    """By what a reader would find the statement: its name, or how it begins."""
    match statement:
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.Assign(targets=[ast.Name(id=name)]):
            return name
        case ast.If(test=test):
            return f"if {ast.unparse(test)}"
        case _:
            return ast.unparse(statement)


def changed(program: str, block: str) -> str:
    """The program after the rule of the page: replace what has the same name; put what is new above what follows it in the
    block, or above `engine = ...`."""
    statements = ast.parse(program).body
    below = "engine"
    for new in reversed(ast.parse(block).body):
        names = [name_of(old) for old in statements]
        if name_of(new) in names:
            statements[names.index(name_of(new))] = new
        else:
            statements.insert(names.index(below), new)
        if not name_of(new).startswith("if "):
            below = name_of(new)
    return ast.unparse(ast.Module(statements, []))


def call(folder: Path, *command: str) -> str:
    """What a command prints, started in the folder as a reader would; it has to succeed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *command], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def worked(folder: Path) -> str:
    """What the worker prints until the claim that waits has been checked; then it is asked to stop, and does."""
    command = [sys.executable, "-u", "-c", "from flowdsl.cli.main import main; main()", *shlex.split(WORKER)[1:]]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as worker:
        assert worker.stdout is not None
        lines: list[str] = []
        while not lines or lines[-1] != "attempt 3\n":
            lines.append(worker.stdout.readline())
            assert lines[-1], "it ended by itself"
        worker.terminate()
        assert worker.wait(timeout=60) == 0
    return "".join(lines)


def carried_out(folder: Path, line: str) -> str:
    if line == WORKER:
        return worked(folder)
    program, *words = shlex.split(line)
    if program == "flowdsl":
        return call(folder, "-c", "from flowdsl.cli.main import main; main()", *words)
    assert program == "python", line
    return call(folder, *(["-m", words[1], "-p", "no:cacheprovider", *words[2:]] if words[0] == "-m" else words))


def steps(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Follows the page. Out: each command, what it printed, and what the page shows as its output (empty: nothing)."""
    for number, (language, text) in enumerate(BLOCKS):
        if language == "python":
            named = re.match(r"# (\w+\.py)\n", text)
            path = folder / (named[1] if named else "claims.py")
            path.write_text(text if named else changed(path.read_text("utf-8"), text), "utf-8")
        elif language == "sh":
            after, shown = BLOCKS[number + 1] if number + 1 < len(BLOCKS) else ("", "")
            for line in text.splitlines():
                yield line, carried_out(folder, line), shown if after == "text" else ""


@pytest.mark.slow
def test_everything_happens_as_it_is_told(tmp_path: Path) -> None:
    printed: dict[str, str] = {}
    shown = 0
    for line, out, expected in steps(tmp_path):
        printed[line] = out
        if expected:
            assert RUN_ID.sub("RUN", out) == RUN_ID.sub("RUN", expected), line
            shown += 1

    assert shown == 3
    assert "claim-1" in printed["flowdsl runs --store sqlite:///claims.db"]
    assert "3 passed" in printed["python -m pytest -q test_claims.py"]
    assert "nobody_decided" in printed["flowdsl graph claims:claims -f table"]
    assert printed[WORKER] == "attempt 1\nattempt 2\nattempt 3\n"


def test_the_rule_replaces_and_inserts() -> None:
    program = "import a\nx = 1\n\ndef f():\n    return 1\nengine = x\n"

    assert changed(program, "import b\n\ndef f():\n    return 2\n\ndef g(): ...\n") == (
        "import a\nx = 1\nimport b\n\ndef f():\n    return 2\n\ndef g():\n    ...\nengine = x"
    )
