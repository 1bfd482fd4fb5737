"""Fleets from seeds keep every promise. FLOWDSL_SEEDS says how many (the nox session `simulation` asks for 500); a failure prints
the line that repeats it."""

from __future__ import annotations

import os

import pytest

from flowdsl.testing.simulation.plan import Plan, StoreKind
from flowdsl.testing.simulation.simulate import simulate

SEEDS = int(os.environ.get("FLOWDSL_SEEDS", "100"))
BATCH = 20
FIRST = 1_000_000
"""SQLite has seeds of its own: it is not the plans that are compared, and a fleet on a file takes ten times as long."""


REMEMBERED = [930093]
"""A step and two callbacks, due together for a run that was to be paused, waited for each other for ever."""


@pytest.mark.parametrize("seed", REMEMBERED)
def test_what_was_found_once(seed: int) -> None:
    report = simulate(Plan.draw(seed))
    assert not report.violations, str(report)


def starts(count: int) -> list[int]:
    return list(range(0, count, BATCH))


@pytest.mark.slow
@pytest.mark.parametrize("start", starts(SEEDS))
def test_fleets_over_the_memory_store_keep_every_promise(start: int) -> None:
    for seed in range(start, min(start + BATCH, SEEDS)):
        report = simulate(Plan.draw(seed))
        assert not report.violations, str(report)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, SEEDS // 25, 4))
def test_fleets_over_sqlite_keep_every_promise(start: int) -> None:
    for seed in range(FIRST + start, FIRST + start + 4):
        report = simulate(Plan.draw(seed, StoreKind.SQLITE))
        assert not report.violations, str(report)
