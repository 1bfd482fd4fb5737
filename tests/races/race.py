"""A race: a few runs, two workers, and people who pause, resume, cancel, delete and call back at any moment, also while a
function of the workflow is running."""

from __future__ import annotations

from datetime import timedelta
from itertools import count

from flowdsl.errors import ConflictError, FlowError, IllegalMoveError, WorkflowInProgressError
from flowdsl.model.callback_result import CallbackResult
from flowdsl.ports.record_store import RecordStore
from flowdsl.ports.role_scheduler import RoleScheduler
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.stepped import SteppedEngine
from tests.races.flow import CANARY, SECOND, Actors, At, Load, OwnError, Said
from tests.races.script import Script

REFUSALS = (IllegalMoveError, WorkflowInProgressError, ConflictError, OwnError)
DEEPEST = 3
"""Functions that may be running within each other."""
LEAPS = (SECOND, 7 * SECOND, 45 * SECOND, 130 * SECOND, timedelta(hours=2))
KEYS = ("key-1", "key-2", "key-3", "key-4", "key-5", "key-6")
FOREIGN_IDS = ("one", "two")


class Race:
    """In: what happens; a store; the number of the race, by which several in one store keep out of each other's way."""

    def __init__(self, script: Script, clock: ManualClock, store: RecordStore, roles: RoleScheduler, number: int = 0) -> None:
        self.script, self.clock, self.store, self._roles = script, clock, store, roles
        self.namespace = f"race-{number}"
        self._seeds = count(number * 1000)
        self.actors = Actors(script, clock, self._meanwhile)
        self.flow = self.actors.flow()
        self.outside = self._engine()
        self.workers = [self._worker(), self._worker()]
        self.results: dict[str, tuple[str, str | None, CallbackResult | None]] = {}
        """By the id of a callback: which one, its key, and what became of it (None: the function raised)."""
        self._depth = 0

    def _engine(self) -> SteppedEngine:
        return SteppedEngine(
            self.flow,
            clock=self.clock,
            store=self.store,
            roles=self._roles,
            namespace=self.namespace,
            seed=next(self._seeds),
        )

    def _worker(self) -> SteppedEngine:
        engine = self._engine()
        engine.__enter__()
        return engine

    # -- what happens ---------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        for foreign_id in FOREIGN_IDS:
            self.outside.trigger(self.flow, foreign_id, Load())
        while not self.script.over:
            self._something()

    def settle(self) -> None:
        """Everything is calm, and time passes until nothing is left to be done."""
        self.script.end()
        worker = self.workers[0]
        for _ in range(3):
            worker.advance(timedelta(hours=3))
            self.workers[1].advance(timedelta(hours=3))
        for engine in self.workers:
            engine.__exit__(None, None, None)

    def _meanwhile(self) -> None:
        if self._depth >= DEEPEST:
            return
        self._depth += 1
        try:
            for _ in range(self.script.choose([0, 0, 1, 1, 2])):
                self._something()
        finally:
            self._depth -= 1

    def _something(self) -> None:
        work, others = [self._work] * 4, [self._pass_time, self._crash, self._trigger]
        try:
            self.script.choose([*work, *others, self._call_back, self._call_back, self._control, self._control])()
        except REFUSALS:
            return  # somebody was told that it cannot be done

    def _work(self) -> None:
        worker = self.script.choose(self.workers)
        for _ in range(self.script.choose([1, 3, 8])):
            if worker not in self.workers:
                return  # it died meanwhile
            worker.worker.dispatcher.wake_all()
            worker.step()

    def _pass_time(self) -> None:
        self.clock.advance(self.script.choose(LEAPS))

    def _call_back(self) -> None:
        foreign_id = self.script.choose(FOREIGN_IDS)
        status, name = self.script.choose([(At.WORK, "hurry"), (At.WAIT, "answer")])
        call_id = f"call-{len(self.results)}"
        key = self.script.choose([None, *KEYS])
        self.results[call_id] = (name, key, None)
        result = self.outside.callback(self.flow, foreign_id, status, Said(call_id), name=name, idempotency_key=key)
        self.results[call_id] = (name, key, result)

    def _control(self) -> None:
        handle = self.outside.latest(self.flow, self.script.choose(FOREIGN_IDS))
        reason = f"{CANARY}: because"
        verb = self.script.choose(["pause", "resume", "resume", "cancel", "force", "delete", "delete", "retry", "move"])
        if verb == "pause":
            handle.pause(reason)
        elif verb == "resume":
            handle.resume()
        elif verb in ("cancel", "force"):
            handle.cancel(reason, force=verb == "force")
        elif verb == "delete":
            handle.delete_data(reason)
        elif verb == "retry":
            handle.retry(reason)
        else:
            handle.move(self.script.choose([At.WORK, At.WAIT]), reason, force=self.script.choose([False, True]))

    def _trigger(self) -> None:
        self.outside.trigger(self.flow, self.script.choose(FOREIGN_IDS), Load())

    def _crash(self) -> None:
        place = self.script.choose([0, 1])
        dead, self.workers[place] = self.workers[place], self._worker()
        try:
            dead.crash()
        except FlowError:  # within a function of its own
            return
