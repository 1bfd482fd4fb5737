"""Where step bodies play: what they were told is noted, others act meanwhile, and they do what their table says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from flowdsl.dsl.run import Run
from flowdsl.model.outcome import Outcome, OutcomeKind
from flowdsl.testing.simulation.fault import Fault
from flowdsl.testing.simulation.gate import CrashedError
from flowdsl.testing.simulation.journal import Answer, Execution, Journal
from flowdsl.testing.simulation.weather import Weather
from flowdsl.testing.simulation.workload import Cargo, Flow, Place, Step, decide

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

    def perform(self, flow: Flow, step: Step, run: Run[Cargo, Place]) -> Place | Outcome:
        """One execution of one step."""
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
            trail=tuple(run.object.trail),
        )
        journal.executions.append(execution)
        journal.say(node.name, f"step of {run.run_id} v{run.version} in {run.status.value}, attempt {run.attempt}")
        try:
            self._pause(node)
            answer = decide(self._seed, flow, step, run)
            if answer is None:
                node.crash()
                raise CrashedError("a deadly step")
            run.object.trail.append(f"{step.from_.value}@{run.version}")
            self._pause(node)
        except CrashedError:
            raise
        except Exception:
            self._end(execution, Answer.RAISED)
            raise
        kind = answer.kind if isinstance(answer, Outcome) else None
        self._end(execution, Answer.STATUS if kind is None else ANSWERS[kind])
        if isinstance(answer, Place):
            execution.to = answer.value
        return answer

    def _end(self, execution: Execution, answer: Answer) -> None:
        journal = self._journal
        execution.ended, execution.ended_at, execution.answer = journal.tick(), journal.clock.now(), answer
        journal.say(execution.node, f"step of {execution.run_id} v{execution.version} ends: {answer.value}")

    def _pause(self, node: Actor) -> None:
        """Between two lines of a body anything may happen."""
        if self._weather.strikes(Fault.CRASH_IN_STEP, CRASH_IN_STEP):
            node.crash()
            raise CrashedError("in a step")
        self._interrupt()
        if node.gone:
            raise CrashedError
