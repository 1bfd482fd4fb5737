"""The simulation itself: it repeats, its faults strike, and what it did not do it cannot have tested."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache

import pytest

from flowdsl.model.callback_result import CallbackOutcome
from flowdsl.model.change import CommitOutcome
from flowdsl.model.history import Cause
from flowdsl.ports.record_store import RecordStore
from flowdsl.testing.simulation.__main__ import main
from flowdsl.testing.simulation.fault import Fault
from flowdsl.testing.simulation.gate import Gate
from flowdsl.testing.simulation.journal import Answer, Kind, Told
from flowdsl.testing.simulation.plan import Plan, StoreKind
from flowdsl.testing.simulation.shrink import shrink
from flowdsl.testing.simulation.simulate import Report, simulate
from flowdsl.testing.simulation.workload import HOOKS
from flowdsl.testing.simulation.workloads import WORKLOADS

SAMPLE = 100
VERBS = {"pause", "resume", "cancel", "force", "delete"}
NOT_HERE = {Cause.SWEEP, Cause.MIGRATION, Cause.UNKNOWN}
"""No run loses its row, so nothing is ever swept; the others are written by other versions of the code."""
NOT_NEEDED = {
    "depths": "metrics ask for it when they are scraped",
    "runs": "customers list nothing",
    "purge": "nothing is kept for a limited time here",
    "open_work": "the memory store has no sessions, SQLite none for steps; other stores are tested for it",
    "join": "the memory store has no sessions of customers; other stores are tested for it",
    "close": "stores are closed by the world",
}
"""Methods of the store that simulated processes do not call: why."""


@cache
def sample() -> list[Report]:
    return [simulate(Plan.draw(seed)) for seed in range(SAMPLE)]


def test_the_same_plan_gives_the_same_history_whatever_the_interpreters_hashes() -> None:
    stories = set()
    for hashes in ("1", "2"):
        command = [sys.executable, "-m", "flowdsl.testing.simulation", "--seed", "11", "--story"]
        environment = {**os.environ, "PYTHONHASHSEED": hashes}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        stories.add(done.stdout)

    (story,) = stories
    assert len(story.splitlines()) > 50


def test_the_same_plan_gives_the_same_history_over_sqlite() -> None:
    plan = Plan.draw(11, StoreKind.SQLITE)

    assert simulate(plan, story=True).story == simulate(plan, story=True).story


def test_every_kind_of_fault_strikes() -> None:
    struck = Counter(fault for report in sample() for fault in report.fired)

    assert set(struck) == set(Fault)


def test_every_workload_is_drawn() -> None:
    assert {report.plan.workload for report in sample()} == set(WORKLOADS)


def test_steps_do_everything_that_a_step_may_do() -> None:
    executions = [execution for report in sample() for execution in report.evidence.journal.executions]

    assert {execution.answer for execution in executions if execution.kind is Kind.STEP} == set(Answer)
    assert {execution.kind for execution in executions} == set(Kind)
    assert {execution.task for execution in executions if execution.kind is Kind.HOOK} == set(HOOKS)


def test_runs_change_for_every_reason() -> None:
    causes = {row.cause for report in sample() for rows in report.evidence.histories.values() for row in rows}

    assert causes == set(Cause) - NOT_HERE


def test_customers_hear_every_answer() -> None:
    journals = [report.evidence.journal for report in sample()]

    assert {trigger.told for journal in journals for trigger in journal.triggers} == set(Told)
    assert {order.told for journal in journals for order in journal.orders} == set(Told) - {Told.FOUND}
    assert {order.verb for journal in journals for order in journal.orders} == VERBS
    assert {call.outcome for journal in journals for call in journal.calls} == {None, *CallbackOutcome}
    assert {wait.reached for journal in journals for wait in journal.waits if wait.done} == {True, False}


def test_the_store_gives_every_answer_to_a_change() -> None:
    outcomes = {commit.outcome for report in sample() for commit in report.evidence.journal.commits}

    assert outcomes == set(CommitOutcome)


def test_processes_call_every_method_of_the_store_behind_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    called: set[str] = set()
    through = Gate.through

    def noting(gate: Gate, name: str, *arguments: object) -> object:
        called.add(name)
        return through(gate, name, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Gate, "through", noting)
    plans = [Plan.draw(seed) for seed in range(20)]
    for plan in [*plans, *(plan.but(workload="parents", runs=5) for plan in plans[:5])]:
        simulate(plan)

    port = {name for name, _ in inspect.getmembers(RecordStore, inspect.isfunction) if not name.startswith("_")}
    assert port - called == set(NOT_NEEDED)


@pytest.mark.parametrize("seed", range(20))
def test_the_command_of_a_plan_is_read_as_that_plan(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan.draw(seed)
    changed = plan.but(workers=7, faults=plan.faults ^ {Fault.CRASH}, handoff=not plan.handoff, most_faults=3, intensity=2.0)
    simulated: list[Plan] = []

    def note(plan: Plan, *, story: bool = False) -> Report:
        simulated.append(plan)
        return Report(plan, sample()[0].evidence, [], [])

    monkeypatch.setattr("flowdsl.testing.simulation.__main__.simulate", note)
    for one in (plan, changed):
        assert main(one.command().split()[3:]) == 0

    assert simulated == [plan, changed]


def test_a_failure_is_made_smaller() -> None:
    plan = Plan(seed=1, workers=4, clients=2, runs=10, rounds=300, streamer=True, faults=frozenset(Fault), store=StoreKind.SQLITE)

    def fails(smaller: Plan) -> int | None:
        """As if it needed two workers, a crash, and five faults before it."""
        struck = 40 if smaller.most_faults is None else smaller.most_faults
        return struck if smaller.workers >= 2 and Fault.CRASH in smaller.faults and struck >= 5 else None

    small = shrink(plan, 40, fails)

    assert small == Plan(
        seed=1,
        workers=2,
        clients=0,
        runs=1,
        rounds=10,
        handoff=False,
        interruptions=0.0,
        faults=frozenset({Fault.CRASH}),
        most_faults=5,
    )


def test_many_seeds_are_counted_and_failures_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["--seeds", "3"]) == 0
    assert "0 failures from seed 0 to 2" in capsys.readouterr().out


@pytest.fixture(autouse=True)
def no_fault_outlives_its_simulation() -> Iterator[None]:
    """Loggers are as they were."""
    import logging

    logger = logging.getLogger("flowdsl")
    before = (list(logger.handlers), logger.level, logger.propagate)
    yield
    assert (list(logger.handlers), logger.level, logger.propagate) == before
