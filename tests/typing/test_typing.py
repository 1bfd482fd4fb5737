"""Both type checkers understand what users write, and refuse what cannot work: exactly the marked lines."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def mypy(path: Path) -> set[int]:
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--hide-error-context", str(path)]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    lines = set()
    for line in output.splitlines():
        found = re.match(rf".*{re.escape(path.name)}:(\d+): error:", line)
        if found:
            lines.add(int(found.group(1)))
        elif ": error:" in line:
            pytest.fail(f"mypy complains elsewhere: {line}")
    return lines


def pyright(path: Path) -> set[int]:
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, str(path)]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    diagnostics = json.loads(output)["generalDiagnostics"]
    return {found["range"]["start"]["line"] + 1 for found in diagnostics if found["severity"] == "error"}


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_what_users_write_is_accepted(checker: object) -> None:
    assert callable(checker)
    assert checker(HERE / "accepted.py") == set()


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_exactly_the_marked_lines_are_refused(checker: object) -> None:
    assert callable(checker)
    path = HERE / "refused.py"
    marked = {number for number, line in enumerate(path.read_text().splitlines(), 1) if line.endswith("# refused")}
    assert checker(path) == marked
