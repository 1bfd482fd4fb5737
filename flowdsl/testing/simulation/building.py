"""Tables become workflows."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Protocol

from flowdsl.dsl.run import Run
from flowdsl.dsl.spec import OnEarly
from flowdsl.dsl.workflow import Workflow
from flowdsl.model.outcome import Outcome
from flowdsl.model.schedule import IfRunning, Misfire
from flowdsl.options import SideOptions, StepOptions
from flowdsl.testing.simulation.workload import Calendar, Cargo, Door, Flow, Mover, Place, Step, Timer

CargoRun = Run[Cargo, Place]
HOOK_BACKOFF = timedelta(seconds=2)
"""How long a hook that raised is left in peace."""


class Players(Protocol):
    """Those who play the bodies."""

    def perform(self, flow: Flow, mover: Mover, run: CargoRun, payload: bytes = b"") -> Place | Outcome: ...
    def watch(self, flow: Flow, event: str, run: CargoRun) -> None: ...
    def order(self, flow: Flow, calendar: Calendar, slot: datetime) -> Cargo | None: ...


def build(flow: Flow, players: Players) -> Workflow[Cargo, Place]:
    """The table as a workflow whose bodies are played."""
    workflow: Workflow[Cargo, Place] = Workflow(
        flow.name, object_type=Cargo, status_type=Place, allow_cycles=flow.cycles, retired=flow.unused()
    )
    for step in flow.steps:
        workflow.step(from_=step.from_, to=step.to, **_step_options(step))(_body(flow, step, players))
    for timer in flow.timers:
        when: dict[str, Any] = {"at": _due(timer)} if timer.computed else {"after": timer.after}
        workflow.timeout(from_=timer.from_, to=timer.to, **when, **_side_options(timer))(_body(flow, timer, players))
    for door in flow.doors:
        early = OnEarly.KEEP if door.early else OnEarly.REFUSE
        declare: Any = workflow.callback(from_=door.from_, to=door.to, on_early=early, **_side_options(door))
        declare(_door(flow, door, players))
    for event in flow.hooks:
        _hook(workflow, flow, event, players)
    for calendar in flow.calendars:
        declare = workflow.schedule(
            "* * * * *", foreign_id=calendar.name, misfire=Misfire.ALL, max_catch_up=10_000, if_running=IfRunning.ALLOW
        )
        declare(_order(flow, calendar, players))
    return workflow


def _step_options(step: Step) -> StepOptions:
    return {**_side_options(step), "consume_lag": step.lag, "parallel_count": step.parallel_count}


def _side_options(mover: Mover) -> SideOptions:
    return {
        "err_backoff": mover.backoff,
        "pause_after_err_count": mover.pause_after,
        "concurrency": mover.concurrency,
    }


def _body(flow: Flow, mover: Mover, players: Players) -> Any:
    async def leave_async(run: CargoRun) -> Place | Outcome:
        return players.perform(flow, mover, run)

    def leave(run: CargoRun) -> Place | Outcome:
        return players.perform(flow, mover, run)

    return leave_async if mover.is_async else leave


def _door(flow: Flow, door: Door, players: Players) -> Any:
    async def answer_async(run: CargoRun, payload: bytes) -> Place | Outcome:
        return players.perform(flow, door, run, payload)

    def answer(run: CargoRun, payload: bytes) -> Place | Outcome:
        return players.perform(flow, door, run, payload)

    return answer_async if door.is_async else answer


def _due(timer: Timer) -> Any:
    async def due_async(run: CargoRun, now: datetime) -> datetime:
        return now + timer.after

    def due(run: CargoRun, now: datetime) -> datetime:
        return now + timer.after

    return due_async if timer.is_async else due


def _order(flow: Flow, calendar: Calendar, players: Players) -> Any:
    def order(slot: datetime) -> Cargo | None:
        return players.order(flow, calendar, slot)

    return order


def _hook(workflow: Workflow[Cargo, Place], flow: Flow, event: str, players: Players) -> None:
    def watch(run: CargoRun) -> None:
        players.watch(flow, event, run)

    decorator: Any = getattr(workflow, f"on_{event}")
    decorator(watch, name="watcher", err_backoff=HOOK_BACKOFF)
