"""Imports of files, some of which cannot be read. The team is told, whatever dies in between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from flowdsl import Outcome, Retry, Run, Workflow


class Status(StrEnum):
    RECEIVED = "received"
    STORED = "stored"


@dataclass
class File:
    name: str
    size: int


Tell = Callable[[str], None]


def build(tell: Tell) -> Workflow[File, Status]:
    """In: the team's channel."""
    imports = Workflow("imports", object_type=File, status_type=Status)

    @imports.step(from_=Status.RECEIVED, to=Status.STORED, retry=Retry(jitter=False), pause_after_err_count=2)
    def read(run: Run[File, Status]) -> Status | Outcome:
        if run.object.size < 0:
            raise ValueError("the file is damaged")
        if run.object.size == 0:
            return run.cancel("it is empty")
        return Status.STORED

    @imports.on_complete
    def stored(run: Run[File, Status]) -> None:
        tell(f"{run.foreign_id}: stored")

    @imports.on_cancel
    async def cancelled(run: Run[File, Status]) -> None:
        tell(f"{run.foreign_id}: not stored, {run.record.reason}")

    @imports.on_pause
    def stuck(run: Run[File, Status]) -> None:
        why = f" ({run.failure.error})" if run.failure is not None else ""  # None: a person paused it
        tell(f"{run.foreign_id}: stuck, {run.reason}{why}")

    @imports.on_error
    def failed(run: Run[File, Status]) -> None:
        if run.failure is not None:
            tell(f"{run.foreign_id}: attempt {run.failure.attempt} failed, {run.failure.error}")

    return imports
