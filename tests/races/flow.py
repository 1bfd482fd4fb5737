"""The workflow that races run on: every status has something that leads on, and a timeout at the latest. Its functions do what
the script says, and let other things happen while they run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from flowdsl.dsl.run import Run
from flowdsl.dsl.spec import HookEvent
from flowdsl.dsl.workflow import Workflow
from flowdsl.testing.clock import ManualClock
from tests.races.script import Script

CANARY = "canary-7f3e"
SECOND = timedelta(seconds=1)
PATIENCE = {"slow": 60 * SECOND, "nag": 40 * SECOND, "expire": 300 * SECOND}
"""By timeout: how long a run stays in its status before it is called."""


class At(StrEnum):
    START = "start"
    WORK = "work"
    WAIT = "wait"
    DONE = "done"
    EXPIRED = "expired"


@dataclass
class Load:
    secret: str = CANARY
    applied: list[str] = field(default_factory=list)
    """Ids of the callbacks that were applied."""


@dataclass
class Said:
    """What a callback brings."""

    call_id: str
    secret: str = CANARY


@dataclass(frozen=True)
class Call:
    """A function was called."""

    kind: str
    name: str
    run_id: str
    version: int
    visit: int
    at: datetime
    key: str
    about: str = ""
    """Of a callback: its id. Of a hook: what it was told."""
    answer: str = ""


class OwnError(Exception):
    """What the functions raise."""


Flow = Workflow[Load, At]
LoadRun = Run[Load, At]


class Actors:
    """Makes the workflow. In: the script; what may happen in the middle of a function."""

    def __init__(self, script: Script, clock: ManualClock, meanwhile: Callable[[], None]) -> None:
        self.calls: list[Call] = []
        self._script, self._clock, self._meanwhile = script, clock, meanwhile

    def _act(self, kind: str, name: str, run: LoadRun, answers: list[str], about: str = "") -> str:
        record = run.record
        before = Call(kind, name, run.run_id, record.version, record.visit, self._clock.now(), run.idempotency_key, about)
        self._meanwhile()
        answer = self._script.choose(answers)
        self.calls.append(Call(**{**vars(before), "answer": answer}))
        if answer == "fail":
            raise OwnError(f"{CANARY}: {name} failed")
        return answer

    def _move(self, kind: str, name: str, run: LoadRun, answers: list[str], about: str = "") -> Any:
        answer = self._act(kind, name, run, answers, about)
        if about and answer != "skip":
            run.object.applied.append(about)
        if answer in ("pause", "cancel"):
            return getattr(run, answer)(f"{CANARY}: {name} says so")
        return run.skip() if answer == "skip" else run.save_and_repeat() if answer == "repeat" else At(answer)

    def flow(self) -> Flow:
        flow: Flow = Workflow(
            "race",
            object_type=Load,
            status_type=At,
            allow_cycles=True,
            defaults={"err_backoff": 2 * SECOND, "pause_after_err_count": 3},
        )

        @flow.step(from_=At.START, to=[At.WORK, At.WAIT])
        def begin(run: LoadRun) -> Any:
            return self._move("step", "begin", run, ["work", "wait", "fail", "repeat", "pause"])

        @flow.step(from_=At.WORK, to=At.WAIT)
        def work(run: LoadRun) -> Any:
            return self._move("step", "work", run, ["wait", "skip", "fail", "fail", "repeat", "pause", "cancel"])

        @flow.callback(from_=At.WORK, to=[At.WAIT, At.DONE], name="hurry", keep_for=200 * SECOND)
        def hurry(run: LoadRun, payload: Said) -> Any:
            return self._move("callback", "hurry", run, ["done", "wait", "fail", "pause", "skip", "repeat"], payload.call_id)

        @flow.timeout(from_=At.WORK, to=At.WAIT, after=PATIENCE["slow"], name="slow")
        def slow(run: LoadRun) -> Any:
            return self._move("timeout", "slow", run, ["wait", "fail", "skip", "pause", "repeat", "cancel"])

        @flow.callback(from_=At.WAIT, to=[At.DONE, At.WORK], name="answer")
        def answer(run: LoadRun, payload: Said) -> Any:
            return self._move("callback", "answer", run, ["done", "work", "fail", "pause", "skip", "repeat"], payload.call_id)

        @flow.timeout(from_=At.WAIT, to=At.WORK, at=lambda run, now: now + PATIENCE["nag"], name="nag")
        def nag(run: LoadRun) -> Any:
            return self._move("timeout", "nag", run, ["skip", "repeat", "work", "fail", "pause"])

        @flow.timeout(from_=At.WAIT, to=At.EXPIRED, after=PATIENCE["expire"], name="expire")
        def expire(run: LoadRun) -> Any:
            return self._move("timeout", "expire", run, ["expired", "fail", "cancel", "pause"])

        for decorator, event in (
            (flow.on_pause, HookEvent.PAUSE),
            (flow.on_cancel, HookEvent.CANCEL),
            (flow.on_complete, HookEvent.COMPLETE),
            (flow.on_transition, HookEvent.TRANSITION),
            (flow.on_error, HookEvent.ERROR),
        ):
            decorator(name="tell")(self._teller(event))
        return flow

    def _teller(self, event: HookEvent) -> Callable[[LoadRun], None]:
        def tell(run: LoadRun) -> None:
            about = run.failure.name.rpartition(".")[2] if run.failure is not None else run.state.name
            self._act("hook", event, run, ["told", "told", "fail"], about)

        return tell
