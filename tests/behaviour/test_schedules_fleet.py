"""Schedules in a fleet: each slot once, whoever holds the role, dies or believes that it has it; and what deployments change."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flowdsl.engine.metrics import ProcessState
from flowdsl.errors import TimetableError
from flowdsl.model.instance import Lease
from flowdsl.model.schedule import IfRunning, Misfire, _timetable
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.stepped import SteppedEngine
from tests.behaviour.diary import DAY, START, Diary, at, runs, slots, thing
from tests.behaviour.world import HOUR, MINUTE, SECOND, Doctored, Thing, World


def diaries(count: int = 3, **options: Any) -> list[Diary]:
    """One per process: each has imported the code for itself."""
    return [Diary(**options) for _ in range(count)]


def together(engines: Sequence[SteppedEngine], duration: timedelta, stride: timedelta = 5 * SECOND) -> None:
    """Let time pass for all of them."""
    for _ in range(duration // stride):
        engines[0].clock.advance(stride)
        for engine in engines:
            engine.run_until_idle()


def test_one_instance_of_the_fleet_fires_a_schedule(world: World) -> None:
    one, two, three = diaries(spec="* * * * *")
    with world.engine(one.workflow) as a, world.engine(two.workflow) as b, world.engine(three.workflow) as c:
        together([a, b, c], 3 * MINUTE + 10 * SECOND)
        states = [engine.states()["diary/scheduler"] for engine in (a, b, c)]

    assert slots(world) == ["09:01", "09:02", "09:03"]
    assert sorted(states) == [ProcessState.RUNNING, ProcessState.IDLE, ProcessState.IDLE]
    assert sorted(len(diary.asked) for diary in (one, two, three)) == [0, 0, 3]


def test_when_the_instance_dies_another_goes_on_and_no_slot_is_lost_or_fired_twice(world: World) -> None:
    one, two = diaries(2, spec="* * * * *")
    with world.engine(one.workflow) as first:
        first.advance(2 * MINUTE + SECOND)
        first.crash()
    with world.engine(two.workflow) as second:
        second.advance(5 * MINUTE)

    assert slots(world) == [f"09:0{minute}" for minute in range(1, 8)]


def test_an_instance_that_gets_its_role_back_fires_nothing_again(world: World) -> None:
    one, two = diaries(2, spec="* * * * *")
    with world.engine(one.workflow) as first:
        first.advance(90 * SECOND)
        first.worker.roles._next = float("inf")  # its campaigns do not get through
        with world.engine(two.workflow) as second:
            together([first, second], 2 * MINUTE)
            assert two.asked == [at("9:02"), at("9:03")]
        first.worker.roles._next = 0.0
        first.advance(MINUTE)

    assert slots(world) == ["09:01", "09:02", "09:03", "09:04"]


class EverybodysRoles:
    """A role scheduler that lies: everybody holds everything."""

    def campaign(self, member: str, roles: Sequence[str], ttl: timedelta) -> Sequence[Lease]:
        return [Lease(role, member, 1, ttl) for role in roles]

    def resign(self, member: str) -> None:
        """Nothing to give back."""

    def close(self) -> None:
        """Nothing to close."""


def test_with_roles_that_everybody_holds_each_slot_still_starts_one_run(world: World) -> None:
    everybody: Any = EverybodysRoles()
    some = diaries(spec="* * * * *", if_running=IfRunning.ALLOW)
    engines = [world.engine(diary.workflow, roles=everybody, store=world.open_store()) for diary in some]
    for engine in engines:
        engine._start(None)
    together(engines, 5 * MINUTE + SECOND, SECOND)
    for engine in engines:
        engine._stop(None)

    assert slots(world) == [f"09:0{minute}" for minute in range(1, 6)]


@pytest.mark.parametrize("if_running", IfRunning)
def test_of_two_that_settle_a_slot_at_once_the_second_to_commit_starts_nothing(world: World, if_running: IfRunning) -> None:
    everybody: Any = EverybodysRoles()
    one, two = diaries(2, spec="0 10 * * *", if_running=if_running)

    def overtaken(fire_time: datetime) -> Any:
        other.run_until_idle()
        return thing(fire_time)

    one.make = overtaken
    with world.engine(one.workflow, roles=everybody) as engine, world.engine(two.workflow, roles=everybody) as other:
        engine.advance(HOUR + MINUTE)
        stored = one.stored(engine)

    assert (len(one.asked), len(two.asked)) == (1, 1)
    assert slots(world) == ["10:00"]
    assert (stored.started, stored.busy, stored.slot) == (1, 0, at("10:00") + DAY)


@pytest.mark.parametrize("how", ["paused", "taken out of the code"])
def test_a_schedule_that_was_stopped_while_its_function_ran_starts_no_run(world: World, how: str) -> None:
    diary = Diary("0 10 * * *")

    def stopping(fire_time: datetime) -> Any:
        if how == "paused":
            engine.schedules.pause("diary", "page", "stop")
        else:
            with world.engine(Diary(None).workflow, roles=EverybodysRoles()) as deployed:
                deployed.run_until_idle()
        return thing(fire_time)

    diary.make = stopping
    with world.engine(diary.workflow) as engine:
        engine.advance(HOUR)

    assert len(diary.asked) == 1
    assert slots(world) == []


class KilledError(BaseException):
    """The process is gone."""


class Mortal:
    """A store in whose nth call from now the process dies, before or after the call has been carried out."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.left: int | None = None
        self.after = False

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if not callable(method):
            return method

        def call(*args: Any, **kwargs: Any) -> Any:
            if self.left is None:
                return method(*args, **kwargs)
            self.left -= 1
            if self.left == 0 and not self.after:
                raise KilledError
            answer = method(*args, **kwargs)
            if self.left == 0:
                raise KilledError
            return answer

        return call


class Fleet:
    """Three instances, of which any may die in any call of the store and is replaced."""

    def __init__(self, world: World, chance: random.Random, make: Callable[[], Diary], roles: Any = None) -> None:
        self.world, self.chance, self.make = world, chance, make
        self.roles = roles if roles is not None else world.roles
        self.deaths = 0
        self.members: list[tuple[SteppedEngine, Mortal]] = []
        for _ in range(3):
            self._join()

    def _join(self) -> None:
        store: Any = Mortal(self.world.store)
        engine = self.world.engine(self.make().workflow, store=store, roles=self.roles)
        engine._start(None)
        self.members.append((engine, store))

    def step(self) -> None:
        """A moment passes; each does something, and perhaps dies in the middle of it."""
        self.world.clock.advance(timedelta(seconds=self.chance.randrange(1, 40)))
        for engine, store in list(self.members):
            if self.chance.random() < 0.15:
                store.left, store.after = self.chance.randrange(1, 12), self.chance.random() < 0.5
            try:
                for _ in range(3):
                    engine.step()
            except KilledError:
                self.deaths += 1
                engine.crash()
                self.members.remove((engine, store))
                self._join()
            store.left = None

    def end(self) -> None:
        for engine, _ in self.members:
            for _ in range(50):
                self.world.clock.advance(SECOND)
                engine.run_until_idle()
            engine._stop(None)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("lying", [False, True])
def test_whoever_dies_in_whichever_call_each_slot_starts_exactly_one_run(world: World, seed: int, lying: bool) -> None:
    chance = random.Random(seed)
    options: dict[str, Any] = {"misfire": Misfire.ALL, "max_catch_up": 1000, "if_running": IfRunning.ALLOW}
    roles: Any = EverybodysRoles() if lying else None
    fleet = Fleet(world, chance, lambda: Diary("* * * * *", **options), roles)
    for _ in range(60):
        fleet.step()
    fleet.end()
    until = world.clock.now()
    fired = [run.metadata["slot"] for run in runs(world)]

    assert fleet.deaths >= 3
    assert len(fired) == len(set(fired)), "a slot was fired twice"
    assert (
        sorted(fired)
        == [(START + minute * MINUTE).isoformat() for minute in range(1, (until - MINUTE - START) // MINUTE + 2)][: len(fired)]
    ), "a slot was lost"
    assert len(fired) >= (until - START) // MINUTE - 2


# -- deployments ----------------------------------------------------------------------------------------------------------------


def test_new_times_count_from_the_deployment(world: World) -> None:
    with world.engine(Diary("*/10 * * * *").workflow) as engine:
        engine.advance(15 * MINUTE)
    with world.engine(Diary("*/4 * * * *").workflow) as engine:
        engine.advance(10 * MINUTE)

    assert slots(world) == ["09:10", "09:16", "09:20", "09:24"]


@pytest.mark.parametrize("changed", [{}, {"misfire": Misfire.ALL}, {"foreign_id": "leaf"}, {"if_running": IfRunning.WAIT}])
def test_a_restart_and_other_policies_leave_the_place_as_it_is(world: World, changed: dict[str, Any]) -> None:
    with world.engine(Diary().workflow) as engine:
        engine.advance(9 * MINUTE)
    world.clock.advance(90 * SECOND)
    with world.engine(Diary(**changed).workflow) as engine:
        engine.run_until_idle()

    assert slots(world) == ["09:10"]
    assert runs(world)[0].foreign_id == changed.get("foreign_id", "page")


def test_a_schedule_that_is_no_longer_in_the_code_fires_no_more_and_may_come_back(world: World) -> None:
    with world.engine(Diary().workflow) as engine:
        engine.advance(15 * MINUTE)
    without = Diary(None)
    with world.engine(without.workflow) as engine:
        engine.advance(30 * MINUTE)
        assert engine.schedules.list() == []
        (gone,) = engine.schedules.list(removed=True)
        assert gone.removed is not None
        assert gone.removed.by == "deployment"
    with world.engine(Diary().workflow) as engine:
        engine.advance(10 * MINUTE)

    assert slots(world) == ["09:10", "09:50"]


def test_after_a_rolling_deployment_the_new_code_decides_whoever_held_the_role_during_it(world: World) -> None:
    old, new = Diary("*/10 * * * *"), Diary("*/15 * * * *")
    with world.engine(old.workflow) as before:
        before.advance(5 * MINUTE)
        with world.engine(new.workflow) as after:
            together([before, after], MINUTE)
            before._stop(None)
            after.advance(42 * MINUTE)

    assert slots(world) == ["09:15", "09:30", "09:45"]


def test_other_code_that_came_between_is_noticed_when_a_slot_is_due(world: World) -> None:
    everybody: Any = EverybodysRoles()
    mine, other = Diary("*/10 * * * *"), Diary("*/4 * * * *")
    with world.engine(mine.workflow, roles=everybody) as engine:
        engine.run_until_idle()
        with world.engine(other.workflow, roles=everybody) as passing:
            passing.run_until_idle()
        engine.advance(25 * MINUTE)

    assert slots(world) == ["09:10", "09:20"], "from the first slot of the other code on, ours again"


def test_a_clock_that_goes_back_fires_nothing_twice(world: World) -> None:
    diary = Diary("*/10 * * * *")
    with world.engine(diary.workflow) as engine:
        engine.advance(25 * MINUTE)
        behind: Any = Doctored(world.store, now=lambda: world.clock.now() - HOUR)
        engine.schedules.pause(diary.workflow, "page", "clocks")
    with world.engine(diary.workflow, store=behind) as engine:
        engine.schedules.resume(diary.workflow, "page")
        assert diary.stored(engine).slot == at("9:30")


def test_a_worker_whose_own_clock_is_wrong_fires_nothing_early_or_late(world: World) -> None:
    diary, ahead = Diary("*/10 * * * *"), ManualClock(START + HOUR)
    with SteppedEngine(diary.workflow, clock=ahead, store=world.store, roles=world.roles, seed=99) as engine:
        for _ in range(21):
            engine.run_until_idle()
            engine.worker.membership.cover(MINUTE)
            world.clock.advance(MINUTE)
            ahead.advance(MINUTE)
        engine.run_until_idle()

    assert slots(world) == ["09:10", "09:20"]
    assert [run.created_at for run in runs(world)] == [at("9:10"), at("9:20")]


def test_a_schedule_in_a_zone_that_this_machine_does_not_know_is_counted_as_failing_and_holds_nobody_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    diary = Diary("*/10 * * * *")
    with world.engine(diary.workflow) as engine:
        engine.schedules.create(diary.workflow, "far", "*/10 * * * *", Thing(), timezone="Pacific/Apia")
        engine.run_until_idle()

        def zone(name: str) -> Any:
            raise TimetableError(f"there is no time zone {name!r}.")

        _timetable.cache_clear()
        monkeypatch.setattr("flowdsl.timetable.zone_of", lambda name: UTC if name == "UTC" else zone(name))
        engine.advance(11 * MINUTE)
        far = engine.schedules.get("diary", "far")
        assert far.error == "TimetableError: there is no time zone 'Pacific/Apia'."
        assert (far.slot, far.attempts >= 1) == (at("9:10"), True)
        monkeypatch.undo()
        engine.advance(2 * MINUTE)
        assert engine.schedules.get("diary", "far").error is None

    assert sorted(slots(world)) == ["09:10", "09:10"]


def test_a_commit_that_took_very_long_does_not_make_the_next_slot_late(world: World) -> None:
    def commit(changes: Any) -> Any:
        if any(getattr(change, "items", ()) for change in changes) and slow:
            slow.pop()
            world.clock.advance(4 * MINUTE)  # the process was stopped between its look at the clock and the commit
        return world.store.commit(changes)

    slow = [True]
    diary = Diary("*/10 * * * *")
    with world.engine(diary.workflow) as engine:
        engine.advance(5 * MINUTE)
    with world.engine(diary.workflow, store=Doctored(world.store, commit=commit)) as engine:
        engine.advance(20 * MINUTE)

    assert slots(world) == ["09:10", "09:20"]
    assert runs(world)[1].created_at == at("9:20")


def test_a_function_that_takes_its_time_does_not_make_the_next_slot_late(world: World) -> None:
    def slow(fire_time: datetime) -> Any:
        world.clock.advance(4 * MINUTE)
        return thing(fire_time)

    diary = Diary("*/10 * * * *", slow)
    with world.engine(diary.workflow) as engine:
        engine.advance(12 * MINUTE)
        assert diary.stored(engine).slot == at("9:20")
        engine.advance(DAY / 24)

    assert slots(world)[:3] == ["09:10", "09:20", "09:30"]
    assert runs(world)[1].created_at == at("9:24"), "four minutes after it was begun"
