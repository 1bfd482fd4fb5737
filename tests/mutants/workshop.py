"""The workshop: copies of the checkout with a fault in each, and the suites that look for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.mutant import Mutant, Suite

ROOT = Path(__file__).parents[2]
COPIED = ("flowdsl", "adapters", "examples", "tests", "pyproject.toml", "README.md")
ON_MEMORY = tuple(
    f"tests/behaviour/test_{name}.py"
    for name in (
        "auto_resume",
        "hooks",
        "steps",
        "timeouts",
        "callbacks_kept",
        "callbacks_buried",
        "timeouts_visits",
        "timeouts_fleet",
        "processes_recovery",
        "stops_beside",
    )
)
LONGEST = 900
"""Seconds after which a suite is ended: the mutant makes it hang, which is found, too."""
SIMULATE = """
import sys
from flowdsl.testing.simulation.plan import Plan, StoreKind
from flowdsl.testing.simulation.simulate import simulate
kind, first, count = StoreKind(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
for seed in range(first, first + count):
    report = simulate(Plan.draw(seed, kind))
    if report.violations:
        print(report.violations[0], f"(seed {seed})")
        sys.exit(1)
"""


def command(suite: Suite, *, quick: bool = False) -> list[str]:
    """What runs the suite, in a copy of the checkout. In: whether a few seeds of a simulation are enough."""
    pytest = [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", "-p", "no:cacheprovider", "-p", "no:randomly"]
    simulation = [sys.executable, "-c", SIMULATE]
    return {
        Suite.SIMULATION: [*simulation, "memory", "0", "40" if quick else "300"],
        Suite.SQLITE_SIMULATION: [*simulation, "sqlite", "1000000", "4" if quick else "60"],
        Suite.MEMORY_CONTRACTS: [*pytest, "tests/contracts/test_memory.py"],
        Suite.SQLITE_CONTRACTS: [*pytest, "tests/contracts/test_sql.py", "-k", "sqlite"],
        Suite.COMPARISON: [*pytest, "tests/contracts/test_stores_like_memory.py", "-k", "sqlite"],
        Suite.SQL_FAULTS: [*pytest, "tests/unit/sql/test_sql_faults.py", "-k", "sqlite"],
        Suite.KOMBU_FAULTS: [*pytest, "tests/contracts/test_kombu.py", "tests/unit/kombu/test_kombu_faults.py"],
        Suite.ENGINE: [
            *pytest,
            "tests/unit/engine",
            *ON_MEMORY,
            "-k",
            "not sqlite and not postgresql and not mariadb and not redis",
        ],
    }[suite]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one suite says of one tree."""

    found: bool
    what: str
    """The test, or the promise, that failed."""
    seconds: float


@contextmanager
def workshop() -> Generator[Path]:
    """A copy of the checkout in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="flowdsl-mutants-") as folder:
        tree = Path(folder)
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules", "*.db*"))
            else:
                shutil.copy(source, tree / name)
        yield tree


def judge(mutant: Mutant | None, suites: tuple[Suite, ...]) -> tuple[Suite | None, Finding]:
    """Build the mutant (None: leave the copy as it is) and let the suites look for it in turn, until one finds it."""
    began = time.monotonic()
    with workshop() as tree:
        if mutant is not None:
            mutant.apply(tree)
        for suite in suites:
            finding = run(suite, tree, quick=mutant is None)
            if finding.found:
                return suite, finding
    return None, Finding(False, "", time.monotonic() - began)


def run(suite: Suite, tree: Path, *, quick: bool = False) -> Finding:
    """One suite in one copy, on the copy's code."""
    began = time.monotonic()
    environment = {
        **os.environ,
        "PYTHONPATH": f"{tree}{os.pathsep}{tree / 'adapters'}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "HYPOTHESIS_PROFILE": "ci",
    }
    check = f"import flowdsl, flowdsl_sql; assert flowdsl.__file__.startswith({str(tree)!r}), flowdsl.__file__"
    subprocess.run([sys.executable, "-c", check], cwd=tree, env=environment, check=True)
    try:
        done = subprocess.run(
            command(suite, quick=quick), cwd=tree, env=environment, capture_output=True, text=True, check=False, timeout=LONGEST
        )
    except subprocess.TimeoutExpired:
        return Finding(True, "it never ends", time.monotonic() - began)
    what = _what(done.stdout + done.stderr)
    return Finding(done.returncode != 0, what, time.monotonic() - began)


def _what(output: str) -> str:
    """The line that says what failed."""
    lines = [line for line in output.splitlines() if line.strip()]
    named = [line.removeprefix("FAILED ").removeprefix("ERROR ") for line in lines if line.startswith(("FAILED ", "ERROR "))]
    return (named or lines or ["nothing was said"])[-1].partition(" - ")[0][:160]
