"""What is measured: a run of three steps that do next to nothing, with an object of about 200 bytes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from flowdsl import Run, Workflow


class Status(StrEnum):
    ONE = "one"
    TWO = "two"
    THREE = "three"
    DONE = "done"


@dataclass
class Object:
    customer: str
    email: str
    total: float
    note: str
    steps: int = 0


STEPS = 3


def sample(number: int) -> Object:
    """About 200 bytes as JSON."""
    return Object(f"customer-{number:08d}", f"customer-{number:08d}@example.org", number / 7, "x" * 90)


Body = Callable[[Run[Object, Status]], None]


def build(step_ms: float = 0.0, watch: Callable[[Body], Body] | None = None) -> Workflow[Object, Status]:
    """In: how long each step waits, in milliseconds; `watch` puts something around what each step does."""
    workflow = Workflow("bench", object_type=Object, status_type=Status)
    seconds = step_ms / 1000

    def work(run: Run[Object, Status]) -> None:
        if seconds:
            time.sleep(seconds)
        run.object.steps += 1

    body = work if watch is None else watch(work)

    @workflow.step(from_=Status.ONE, to=Status.TWO)
    def one(run: Run[Object, Status]) -> Status:
        body(run)
        return Status.TWO

    @workflow.step(from_=Status.TWO, to=Status.THREE)
    def two(run: Run[Object, Status]) -> Status:
        body(run)
        return Status.THREE

    @workflow.step(from_=Status.THREE, to=Status.DONE)
    def three(run: Run[Object, Status]) -> Status:
        body(run)
        return Status.DONE

    return workflow
