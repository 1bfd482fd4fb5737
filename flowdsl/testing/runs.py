"""A run for the unit test of one step: no store, no engine."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TypeVar

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.model.record import RunRecord
from flowdsl.model.run_state import RunState
from flowdsl.testing.clock import START

ObjectT = TypeVar("ObjectT")
StatusT = TypeVar("StatusT", bound=Enum)


def make_run(
    workflow: Workflow[ObjectT, StatusT],
    obj: ObjectT,
    *,
    status: StatusT | None = None,
    attempt: int = 1,
    foreign_id: str = "foreign-1",
    version: int = 1,
    metadata: Mapping[str, str] | None = None,
) -> Run[ObjectT, StatusT]:
    """What a step is given. In: `status`, left out: the workflow's first starting status; `attempt`, from 1. The object is handed
    over as it is, without a copy, so that a test can look at what the step did to it."""
    key = workflow.definition().start if status is None else workflow.key(status)
    record = RunRecord(
        workflow=workflow.name,
        run_id="run-1",
        foreign_id=foreign_id,
        status=key,
        state=RunState.RUNNING,
        version=version,
        task_version=version,
        payload=workflow.codec.encode(obj),
        created_at=START,
        updated_at=START,
        change_id="change-1",
        metadata=dict(metadata or {}),
    )
    return Run(record, obj, workflow.member(key), attempt)
