"""Reports that are sent by the calendar: one that the code declares, and one for each customer who asked for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from flowdsl import Engine, Gap, IfRunning, Misfire, Run, Workflow


class Status(StrEnum):
    DUE = "due"
    WRITTEN = "written"
    SENT = "sent"


@dataclass
class Report:
    title: str
    text: str | None = None


def build(
    figures: Callable[[], int],
    send: Callable[[str, str], None],
    *,
    spec: str = "0 9 * * 1-5",
    holidays: frozenset[tuple[int, int]] = frozenset({(12, 25), (1, 1)}),
) -> Workflow[Report, Status]:
    """In: where the figures come from; what sends a text to somebody; when the report of the code is due; months and days without
    one."""
    reports = Workflow("reports", object_type=Report, status_type=Status)

    @reports.step(from_=Status.DUE, to=Status.WRITTEN)
    def write(run: Run[Report, Status]) -> None:
        run.object.text = f"{run.object.title}: {figures()}"

    @reports.step(from_=Status.WRITTEN, to=Status.SENT)
    def deliver(run: Run[Report, Status]) -> None:
        send(run.metadata["schedule"], run.object.text or "")

    # On the day on which the clocks go forward it comes right after the gap; after a weekend without a worker it comes once.
    @reports.schedule(spec, foreign_id="everybody", timezone="Europe/London", gap=Gap.NEXT, misfire=Misfire.ONCE)
    def due(fire_time: datetime) -> Report | None:
        if (fire_time.month, fire_time.day) in holidays:
            return None  # no run for this slot
        return Report(f"report of {fire_time:%d %B}")

    return reports


def subscribe(engine: Engine, reports: Workflow[Report, Status], customer: str, spec: str, timezone: str) -> None:
    """A customer's own report, from now on or at other times than before. It is stored and survives deployments; while one is
    being written the next one waits."""
    engine.schedules.create(
        reports,
        customer,
        spec,
        Report(f"figures for {customer}"),
        timezone=timezone,
        if_running=IfRunning.WAIT,
        replace=True,
        actor=customer,
    )
