"""Where bodies play: what they were told is noted, others act meanwhile, and they do what their table says."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

from flowdsl.dsl.workflow import Workflow
from flowdsl.model.outcome import Outcome, OutcomeKind
from flowdsl.testing.simulation.building import CargoRun
from flowdsl.testing.simulation.fault import Fault
from flowdsl.testing.simulation.gate import CrashedError
from flowdsl.testing.simulation.journal import Answer, Execution, Journal, Kind, Ordered
from flowdsl.testing.simulation.weather import Weather
from flowdsl.testing.simulation.workload import (
    Calendar,
    Cargo,
    Door,
    Flow,
    Mover,
    Place,
    RanOutError,
    Step,
    Timer,
    child_of,
    decide,
    secret_of,
)

CRASH_IN_STEP = 0.03
ANSWERS = {
    OutcomeKind.PAUSE: Answer.PAUSE,
    OutcomeKind.CANCEL: Answer.CANCEL,
    OutcomeKind.REPEAT: Answer.REPEAT,
    OutcomeKind.SKIP: Answer.SKIP,
}


class Actor(Protocol):
    """The process in which a body runs."""

    name: str
    gone: bool

    def crash(self) -> None: ...


class Stage:
    """In: the seed; `acting`, the process whose turn it is; `interrupt`, with which the world lets others act."""

    def __init__(
        self, seed: int, journal: Journal, weather: Weather, acting: Callable[[], Actor], interrupt: Callable[[], None]
    ) -> None:
        self._seed = seed
        self._journal = journal
        self._weather = weather
        self._acting = acting
        self._interrupt = interrupt
        self.workflows: Mapping[str, Workflow[Cargo, Place]] = {}
        """Those of the world, by name."""

    def perform(self, flow: Flow, mover: Mover, run: CargoRun, payload: bytes = b"") -> Place | Outcome:
        """One execution of a step, a timeout or a callback. In: a callback's payload, which begins with its id."""
        call_id = payload.partition(b" ")[0].decode()
        kind = Kind.TIMEOUT if isinstance(mover, Timer) else Kind.CALLBACK if isinstance(mover, Door) else Kind.STEP
        node, execution = self._begin(run, kind, call_id)
        try:
            self._pause(node)
            answer = decide(self._seed, flow, mover, run, call_id)
            if answer is None:
                node.crash()
                raise CrashedError("a deadly step")
            mark = f"{mover.from_.value}@{run.version}"
            run.object.trail.append(f"{mark}!{call_id}" if call_id else mark)
            if isinstance(mover, Step) and mover.starts and isinstance(answer, Place):
                child = child_of(run.run_id, mover.from_.value)
                run.trigger(self.workflows[mover.starts], child, Cargo(child, secret_of(child)))
            self._pause(node)
        except CrashedError:
            raise
        except Exception:
            self._end(execution, Answer.RAISED)
            raise
        kind_of_answer = answer.kind if isinstance(answer, Outcome) else None
        self._end(execution, Answer.STATUS if kind_of_answer is None else ANSWERS[kind_of_answer])
        if isinstance(answer, Place):
            execution.to = answer.value
        return answer

    def watch(self, flow: Flow, event: str, run: CargoRun) -> None:
        """One execution of a hook."""
        node, execution = self._begin(run, Kind.HOOK, event)
        rng = random.Random(f"{self._seed}/{flow.name}/{run.foreign_id}/{run.version}/{event}")
        failures = rng.randint(1, 2) if rng.random() < flow.hook_fails else 0
        self._pause(node)
        if run.attempt <= failures:
            self._end(execution, Answer.RAISED)
            raise RanOutError("the hook fails at first")
        self._end(execution, Answer.STATUS)

    def order(self, flow: Flow, calendar: Calendar, slot: datetime) -> Cargo | None:
        """A schedule's function."""
        node, journal = self._acting(), self._journal
        rng = random.Random(f"{self._seed}/{flow.name}/{calendar.name}/{slot.isoformat()}")
        before = sum(one.schedule == calendar.name and one.slot == slot for one in journal.ordered)
        answer = Answer.SKIP if rng.random() < calendar.declines else Answer.STATUS
        if rng.random() < calendar.fails and before == 0:
            answer = Answer.RAISED
        journal.say(node.name, f"schedule {calendar.name} is asked for {slot.isoformat()}: {answer.value}")
        journal.ordered.append(Ordered(flow.name, calendar.name, slot, journal.clock.now(), answer))
        self._pause(node)
        if answer is Answer.RAISED:
            raise RanOutError("the schedule's function fails at first")
        return None if answer is Answer.SKIP else Cargo(calendar.name, secret_of(calendar.name))

    def _begin(self, run: CargoRun, kind: Kind, task: str) -> tuple[Actor, Execution]:
        node, journal = self._acting(), self._journal
        if node.gone:
            raise CrashedError  # another body took the process along
        execution = Execution(
            node=node.name,
            began=journal.tick(),
            began_at=journal.clock.now(),
            workflow=run.workflow,
            foreign_id=run.foreign_id,
            run_id=run.run_id,
            version=run.version,
            status=run.status.value,
            state=run.state,
            attempt=run.attempt,
            key=run.idempotency_key,
            trail=tuple(run.object.trail) if kind is not Kind.HOOK else (),
            kind=kind,
            task=task,
        )
        journal.executions.append(execution)
        what = f"{kind.value} {task}".strip()
        journal.say(node.name, f"{what} of {run.run_id} v{run.version} in {run.status.value}, attempt {run.attempt}")
        return node, execution

    def _end(self, execution: Execution, answer: Answer) -> None:
        journal = self._journal
        execution.ended, execution.ended_at, execution.answer = journal.tick(), journal.clock.now(), answer
        journal.say(execution.node, f"{execution.kind.value} of {execution.run_id} v{execution.version} ends: {answer.value}")

    def _pause(self, node: Actor) -> None:
        """Between two lines of a body anything may happen."""
        if self._weather.strikes(Fault.CRASH_IN_STEP, CRASH_IN_STEP):
            node.crash()
            raise CrashedError("in a step")
        self._interrupt()
        if node.gone:
            raise CrashedError
