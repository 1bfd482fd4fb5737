"""A program that logs hears nothing of Alembic when flowdsl opens a store, unless it asked to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import logging, sys
logging.basicConfig(level=logging.{level}, format="%(name)s")
{more}
from flowdsl_sql.record_store import open_store
open_store(f"sqlite:///{{sys.argv[1]}}/a.db").close()
alembic = [logging.getLogger(name) for name in ("alembic.runtime.plugins", "alembic.runtime.migration")]
assert not any(logger.filters for logger in alembic)
alembic[1].info("the program's own migration")
"""


@pytest.mark.parametrize(
    ("level", "more", "heard"),
    [
        ("INFO", "", 1),
        ("INFO", "logging.getLogger('alembic').setLevel('INFO')", None),
        ("DEBUG", "", None),
    ],
    ids=["a program that logs", "one that listens to Alembic", "one that debugs"],
)
def test_what_alembic_says_of_itself_is_heard_by_who_asked(tmp_path: Path, level: str, more: str, heard: int | None) -> None:
    program = PROGRAM.format(level=level, more=more)

    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True)

    lines = [line for line in done.stderr.splitlines() if line.startswith("alembic")]
    assert len(lines) == heard if heard is not None else len(lines) > 3
