"""Rehearsals: a test of your workflow, played again with a mishap at every single point of the engine's work.

What your functions do outside of the database may happen more than once. A rehearsal finds the function that cannot bear it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flowdsl.clock import Clock
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.core import Core
from flowdsl.engine.executor import InlineExecutor
from flowdsl.engine.starter import Starter
from flowdsl.engine.steps import Steps
from flowdsl.engine.work import Work
from flowdsl.engine.worker import Worker
from flowdsl.errors import StoreUnavailableError
from flowdsl.memory.event_streamer import MemoryEventStreamer
from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.memory.role_scheduler import MemoryRoleScheduler
from flowdsl.model.change import Change, CommitResult
from flowdsl.model.pending import ClaimedRow, TopicQuota
from flowdsl.ports.event_streamer import EventStreamer
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.mishap import POSSIBLE, Mishap, Moment, Plan, Point, ProcessDiedError
from flowdsl.testing.stepped import SteppedEngine
from flowdsl.testing.unreliable_stream import UnreliableStream

AFTER_A_CRASH = timedelta(seconds=31)
"""A heartbeat lapses after 30 s: then another process takes over."""
RECOVERY = timedelta(minutes=1)
"""After that whatever one mishap delayed has been tried again."""
MOST_POINTS = 2000


class Rehearsal:
    """The stage of a scenario: a store, a clock and one process at a time, which is replaced when it dies.

    In: the mishaps by the number of their point; for a scenario with a streamer, whether events come twice, in another order, or
    are lost (each is a promise that a broker does not make).
    """

    def __init__(
        self,
        mishaps: dict[int, Mishap] | None = None,
        *,
        seed: int = 0,
        duplicate: bool = False,
        reorder: bool = False,
        lose: bool = False,
    ) -> None:
        self.clock = ManualClock()
        self.plan = Plan(mishaps or {})
        self.store = MemoryRecordStore(self.clock)
        self._roles = MemoryRoleScheduler(self.clock)
        self._streamer: EventStreamer | None = None
        if duplicate or reorder or lose:
            self._streamer = UnreliableStream(
                MemoryEventStreamer(self.clock), seed=seed, duplicate=duplicate, reorder=reorder, lose=lose
            )
        self._seed = seed
        self._lives = 0
        self.driving = False
        """Whether the living process works at this moment: outside of that it is the test that calls."""
        self._workflows: tuple[Workflow[Any, Any], ...] = ()
        self._settings: dict[str, Any] = {}
        self._engine: _RehearsedEngine | None = None

    def engine(self, *workflows: Workflow[Any, Any], **settings: Any) -> SteppedEngine:
        """Start the process. Trigger, call back, ask, control and let time pass through what is returned: after a crash it stands
        for the process that lives now, as handles do that were made before."""
        self._workflows, self._settings = workflows, settings
        return self._begin()

    @property
    def current(self) -> SteppedEngine:
        """The process that lives now."""
        return self._living()

    def run_until_idle(self) -> None:
        """Let everything happen that is due now; with a mishap on the way, and what is due once it was recovered from."""
        before = len(self.plan.happened)
        self.advance(timedelta(0))
        while len(self.plan.happened) > before:
            before = len(self.plan.happened)
            self.advance(RECOVERY)

    def advance(self, duration: timedelta) -> None:
        """Let time pass. After a crash another process takes over, half a minute later, and all of `duration` passes for it."""
        while not self.outlived(lambda engine: engine.advance(duration) if duration else engine.run_until_idle()):
            pass

    def outlived(self, work: Callable[[SteppedEngine], object]) -> bool:
        """Let the living process work. False: it died of that, and another one lives now."""
        engine = self._living()
        self.driving = True
        try:
            work(engine)
        except ProcessDiedError:
            engine.crash()
            self.clock.advance(AFTER_A_CRASH)
            self._begin()
            engine.replaced = True
            return False
        finally:
            self.driving = False
        return True

    def close(self) -> None:
        """End the process that lives now."""
        if self._engine is not None:
            self._engine.plan = Plan()
            self._engine.__exit__(None, None, None)

    def _living(self) -> _RehearsedEngine:
        if self._engine is None:
            raise RuntimeError("this rehearsal has no process yet: call rehearsal.engine(workflow, ...) first")
        return self._engine

    def _begin(self) -> _RehearsedEngine:
        self._lives += 1
        settings = dict(self._settings)
        if self._streamer is not None:
            settings.setdefault("streamer", self._streamer)
        engine = _RehearsedEngine(
            *self._workflows,
            stage=self,
            plan=self.plan,
            inner=self.store,
            clock=self.clock,
            roles=self._roles,
            seed=self._seed * 1000 + self._lives,
            **settings,
        )
        self._engine = engine.__enter__()
        return self._engine


@dataclass(frozen=True, slots=True)
class Report:
    """What was rehearsed: the points of the undisturbed run, and how many mishaps were tried."""

    points: Sequence[Point]
    tried: int


def under_every_mishap(
    scenario: Callable[[Rehearsal], None], *, mishaps: Sequence[Mishap] = tuple(Mishap), seed: int = 0
) -> Report:
    """Play the scenario undisturbed, then once for every point of it and every mishap that can happen there.

    The scenario makes everything anew (its fakes, its engine) and asserts what must hold at the end. What it raises is raised
    (`pytest.fail` too), with a note that says which mishap it could not bear and how to play that one again.
    """
    calm = Rehearsal(seed=seed)
    try:
        _play(scenario, calm)
    except BaseException as error:
        error.add_note(f"No mishap had happened. Again: Rehearsal(seed={seed})")
        raise
    points, tried = list(calm.plan.passed), 0
    if len(points) > MOST_POINTS:
        raise ValueError(f"the scenario passes {len(points):,} points, at most {MOST_POINTS:,} are rehearsed: make it smaller")
    for point in points:
        for mishap in (one for one in mishaps if one in POSSIBLE[point.moment]):
            rehearsal = Rehearsal({point.number: mishap}, seed=seed)
            try:
                _play(scenario, rehearsal)
            except BaseException as error:
                where = rehearsal.plan.happened[0][0] if rehearsal.plan.happened else point
                error.add_note(f"It did not bear this: {mishap.value}, at {where}.")
                error.add_note(f"Again: Rehearsal({{{point.number}: Mishap.{mishap.name}}}, seed={seed})")
                raise
            tried += bool(rehearsal.plan.happened)
    return Report(points, tried)


def _play(scenario: Callable[[Rehearsal], None], rehearsal: Rehearsal) -> None:
    try:
        scenario(rehearsal)
    finally:
        rehearsal.close()


class _RehearsedEngine(SteppedEngine):
    """A stepped engine whose worker meets mishaps. What the test itself asks for meets none, and once the process has died it is
    the next one that is asked: a test holds one engine."""

    def __init__(
        self, *workflows: Workflow[Any, Any], stage: Rehearsal, plan: Plan, inner: MemoryRecordStore, **settings: Any
    ) -> None:
        self.plan = plan
        self.replaced = False
        """Whether another process lives in place of this one."""
        self._stage = stage
        self._inside = False
        self._died_at: Moment | None = None
        store: Any = _Store(inner, self)  # what it does not change it takes from the other
        super().__init__(*workflows, store=store, **settings)

    def step(self) -> bool:
        if not self._stage.driving:
            did: list[bool] = []
            return not self._stage.outlived(lambda engine: did.append(engine.step())) or did[0]
        self._inside = True
        try:
            return super().step()
        finally:
            self._inside = False

    def run_until_idle(self, most: int = 100_000) -> None:
        if self._stage.driving:
            super().run_until_idle(most)
        else:
            self._stage.run_until_idle()

    def advance(self, duration: timedelta) -> None:
        if self._stage.driving:
            super().advance(duration)
        else:
            self._stage.advance(duration)

    def crash(self) -> None:
        self._inside = True  # whatever cleans up on the way out is dead as well
        try:
            super().crash()
        finally:
            self._inside = False

    @property
    def worker(self) -> Worker:
        return self._stage.current.worker if self.replaced else super().worker

    def reach(self, moment: Moment, about: str = "") -> Mishap | None:
        """A point in the worker's work; None outside of it: handles of a process that died are a client's."""
        if not self._inside:
            return None
        if self._died_at is not None:
            raise ProcessDiedError(
                f"the process died {self._died_at.value}, and something in it went on: it caught what nobody may catch. Look for "
                "`except BaseException` or a bare `except` in your functions."
            )
        mishap = self.plan.reach(moment, about)
        if mishap is Mishap.CRASH:
            self._died_at = moment
            raise ProcessDiedError(moment.value)
        return mishap

    def _the_core(self) -> Core:
        return self._stage._living()._the_core() if self.replaced else super()._the_core()

    def _the_starter(self) -> Starter:
        return self._stage._living()._the_starter() if self.replaced else super()._the_starter()

    def _executor(self, steps: Steps, clock: Clock) -> InlineExecutor:
        return InlineExecutor(_Bodies(steps, self), clock)


class _Bodies:
    """Calls functions, with a point before and after each."""

    def __init__(self, steps: Steps, engine: _RehearsedEngine) -> None:
        self._steps = steps
        self._engine = engine

    def run(self, work: Work) -> None:
        self._engine.reach(Moment.BEFORE_BODY, _about(work))
        self._steps.run(work)
        self._engine.reach(Moment.AFTER_BODY, _about(work))

    async def run_async(self, work: Work) -> None:
        self._engine.reach(Moment.BEFORE_BODY, _about(work))
        await self._steps.run_async(work)
        self._engine.reach(Moment.AFTER_BODY, _about(work))


def _about(work: Work) -> str:
    return f"{work.lane.spec.name} of {work.record.foreign_id}, attempt {work.failures + 1}"


class _Store:
    """The store as the rehearsed process sees it."""

    def __init__(self, inner: MemoryRecordStore, engine: _RehearsedEngine) -> None:
        self._inner = inner
        self._engine = engine
        self._lost: list[ClaimedRow] = []
        """Claimed by this process without its knowing: the next claim brings them."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        return self._commit(lambda: self._inner.commit(changes), changes)

    def commit_together(
        self, changes: Sequence[Change], writes: Sequence[Callable[[Any], object]] = ()
    ) -> Sequence[CommitResult]:
        return self._commit(lambda: self._inner.commit_together(changes, writes), changes)

    def _commit(self, work: Callable[[], Sequence[CommitResult]], changes: Sequence[Change]) -> Sequence[CommitResult]:
        about = ", ".join(type(change).__name__ for change in changes)
        if self._engine.reach(Moment.BEFORE_COMMIT, about) is not None:
            raise StoreUnavailableError("the store is away.")
        results = work()
        if self._engine.reach(Moment.AFTER_COMMIT, about) is not None:
            raise StoreUnavailableError("the answer was lost.")
        return results

    def claim(self, namespace: str, owner: str, quotas: Sequence[TopicQuota]) -> Sequence[ClaimedRow]:
        if self._engine.reach(Moment.BEFORE_CLAIM) is not None:
            raise StoreUnavailableError("the store is away.")
        rows = self._inner.claim(namespace, owner, quotas)
        if rows and self._engine.reach(Moment.AFTER_CLAIM) is not None:
            self._lost += rows
            raise StoreUnavailableError("the answer was lost.")
        found, self._lost = [*self._lost, *rows], []
        return found
