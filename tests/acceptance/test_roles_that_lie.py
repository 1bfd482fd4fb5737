"""Nothing's safety depends on roles: a scheduler that says yes to everybody costs time and breaks nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

import pytest

from flowdsl import Engine, Run, RunState, Workflow
from flowdsl.model.instance import Lease
from flowdsl.ports.role_scheduler import RoleScheduler
from flowdsl_sql.record_store import open_store
from tests.services import sql_database

RUNS = int(os.environ.get("FLOWDSL_ROLES_RUNS", "5000"))
PATIENCE = timedelta(seconds=240)


class Status(StrEnum):
    NEW = "new"
    ONCE = "once"
    TWICE = "twice"
    DONE = "done"


@dataclass
class Tally:
    steps: int = 0


class Yes(RoleScheduler):
    """Everybody holds every role."""

    def campaign(self, member: str, roles: Sequence[str], ttl: timedelta) -> Sequence[Lease]:
        return [Lease(role, member, 1, ttl) for role in roles]

    def resign(self, member: str) -> None: ...

    def close(self) -> None: ...


def tallies() -> Workflow[Tally, Status]:
    workflow = Workflow("tallies", object_type=Tally, status_type=Status, defaults={"parallel_count": 1})

    @workflow.step(from_=Status.NEW, to=Status.ONCE)
    def first(run: Run[Tally, Status]) -> None:
        run.object.steps += 1

    @workflow.step(from_=Status.ONCE, to=Status.TWICE)
    def second(run: Run[Tally, Status]) -> None:
        run.object.steps += 1

    @workflow.step(from_=Status.TWICE, to=Status.DONE)
    def third(run: Run[Tally, Status]) -> None:
        run.object.steps += 1

    return workflow


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with sql_database(request.param, tmp_path) as found:
        open_store(found, migrate=True).close()
        yield found


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_four_workers_that_all_hold_every_role_break_nothing(url: str) -> None:
    workflows = [tallies() for _ in range(4)]
    with ExitStack() as stack:
        engines = [stack.enter_context(Engine(workflow, store=open_store(url), roles=Yes())) for workflow in workflows]
        stack.callback(lambda: None)
        handles = engines[0].trigger_many(workflows[0], [(f"t-{number}", Tally()) for number in range(RUNS)])
        for handle in handles:
            handle.wait(timeout=PATIENCE)
        runs = [handle.run() for handle in handles]
        versions = [[row.version for row in handle.history()] for handle in handles[:: max(1, RUNS // 500)]]
    assert {run.state for run in runs} == {RunState.COMPLETED}
    assert {run.object.steps for run in runs} == {3}
    assert [some for some in versions if some != [1, 2, 3, 4]] == []
