"""`flowdsl demo`, the first thing a newcomer starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("columns", [80, 120])
def test_the_demo_shows_outcomes_a_timeline_and_a_diagram_and_leaves_nothing_behind(tmp_path: Path, columns: int) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "from flowdsl.cli.main import main; main()", "demo", "--orders", "40"],
        env={**os.environ, "TMPDIR": str(tmp_path), "COLUMNS": str(columns), "PYTHONIOENCODING": "utf-8"},
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=90,
    )

    assert (done.returncode, done.stderr) == (0, "")
    for text in ("completed   shipped", "cancelled   placed", "nothing to pay", "(attempt 3)", "pack_the_rest", "● Placed"):
        assert text in done.stdout
    shown = [line for line in done.stdout.splitlines() if not line.startswith("Its code")]
    assert max(len(line) for line in shown) <= columns
    assert list(tmp_path.iterdir()) == []
