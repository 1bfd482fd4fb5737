"""Applications hold personal data. It is erased when the applicant asks, and whole runs go after a while."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from flowdsl import Outcome, Run, Workflow


class Status(StrEnum):
    RECEIVED = "received"
    ASSESSED = "assessed"


@dataclass
class Application:
    name: str
    email: str
    income: int
    score: int | None = None


def build() -> Workflow[Application, Status]:
    applications = Workflow(
        "applications",
        object_type=Application,
        status_type=Status,
        keep_completed=timedelta(days=365),
        keep_cancelled=timedelta(days=30),
        keep_deleted=timedelta(days=30),
    )

    @applications.step(from_=Status.RECEIVED, to=Status.ASSESSED)
    def assess(run: Run[Application, Status]) -> Status | Outcome:
        if run.object.income < 0:
            return run.cancel(f"{run.object.name} has typed nonsense")  # reasons may hold personal data, too
        run.object.score = run.object.income // 1000
        return Status.ASSESSED

    @applications.on_delete
    def scrub(run: Run[Application, Status]) -> None:
        """The score is kept for the statistics; whose it was is not."""
        run.object.name = run.object.email = ""
        run.object.income = 0

    return applications
