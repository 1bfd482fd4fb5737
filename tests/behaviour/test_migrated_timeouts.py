"""What becomes of the timeouts of runs that a migration takes to another status."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.handle import RunHandle
from flowdsl.model.change import Change
from flowdsl.model.history import Cause
from flowdsl.model.outcome import Outcome
from flowdsl.model.pending import RowKind
from flowdsl.model.run_state import RunState
from tests.behaviour.world import DAY, HOUR, MINUTE, SECOND, TICK, Doctored, World


class Before(StrEnum):
    NEW = "new"
    SHELVED = "shelved"
    RETURNED = "returned"


class After(StrEnum):
    NEW = "new"
    STORED = "stored"
    RETURNED = "returned"


@dataclass
class Parcel:
    weight: int = 1


Answer = Callable[[Run[Parcel, Any]], Any]


def nothing(run: Run[Parcel, Any]) -> None: ...


def old_code(
    called: list[datetime], world: World, *, name: str = "nobody_came", answer: Answer = nothing
) -> Workflow[Parcel, Before]:
    flow = Workflow("post", object_type=Parcel, status_type=Before)
    flow.step(from_=Before.NEW, to=Before.SHELVED)(nothing)

    @flow.timeout(from_=Before.SHELVED, to=Before.RETURNED, after=3 * DAY, name=name)
    def nobody_came(run: Run[Parcel, Before]) -> Any:
        called.append(world.clock.now())
        return answer(run)

    return flow


def new_code(called: list[datetime], world: World, *, to: After = After.STORED, **when: Any) -> Workflow[Parcel, After]:
    """`shelved` is now `stored`; it has the timeout of before, whose time is other now, and one more."""
    flow = Workflow("post", object_type=Parcel, status_type=After)
    flow.step(from_=After.NEW, to=After.STORED)(nothing)

    @flow.timeout(from_=After.STORED, to=After.RETURNED, name="remind", after=5 * DAY)
    def remind(run: Run[Parcel, After]) -> Outcome:
        return run.skip()

    @flow.timeout(from_=After.STORED, to=After.RETURNED, name="nobody_came", **(when or {"after": 30 * DAY}))
    def nobody_came(run: Run[Parcel, After]) -> None:
        called.append(world.clock.now())

    flow.migrate(from_="shelved", to=to)
    return flow


def shelved(world: World, old: Workflow[Parcel, Before]) -> RunHandle[Any, Any]:
    with world.engine(old) as engine:
        handle = engine.trigger(old, "p", Parcel())
        engine.run_until_idle()
        assert handle.record().status == "shelved"
    return engine.latest(old, "p")


def dues(handle: RunHandle[Any, Any]) -> dict[str, Any]:
    return {row.receiver: row.due_at for row in handle.pending() if row.kind is RowKind.TIMEOUT}


def late(world: World, by: timedelta) -> Any:
    """A store whose commits take a while to arrive."""

    def commit(changes: list[Change]) -> Any:
        world.clock.advance(by)
        return world.store.commit(changes)

    return Doctored(world.store, commit=commit)


def test_a_timeout_that_keeps_its_name_is_due_when_it_was_to_the_microsecond(world: World) -> None:
    called: list[datetime] = []
    handle = shelved(world, old_code(called, world))
    due = dues(handle)["nobody_came"]
    world.clock.advance(3 * DAY - HOUR)
    world.outsider(new_code(called, world)).migrations.apply()

    assert handle.record().status == "stored"
    assert dues(handle) == {"nobody_came": due, "remind": world.clock.now() + 5 * DAY}
    with world.engine(new_code(called, world)) as engine:
        engine.run_until_idle()
        engine.advance(due - world.clock.now() - TICK)
        assert called == []
        engine.advance(TICK)
        assert called == [due]
        assert handle.record().state is RunState.COMPLETED
        assert [row.cause for row in handle.history()][-2:] == [Cause.MIGRATION, Cause.TIMEOUT]


def test_the_time_that_a_commit_takes_moves_no_deadline(world: World) -> None:
    handle = shelved(world, old_code([], world))
    due = dues(handle)["nobody_came"]
    world.engine(new_code([], world), store=late(world, 7 * SECOND)).migrations.apply()

    assert handle.record().status == "stored"
    assert dues(handle)["nobody_came"] == due


def test_a_deadline_that_passed_before_the_migration_is_met_at_once(world: World) -> None:
    called: list[datetime] = []
    handle = shelved(world, old_code(called, world))
    world.clock.advance(4 * DAY)
    with world.engine(new_code(called, world)) as engine:
        engine.run_until_idle()

        assert called == [world.clock.now()]
        assert handle.record().state is RunState.COMPLETED


def test_a_timeout_without_a_namesake_goes_and_the_new_ones_begin_with_the_migration(world: World) -> None:
    called: list[datetime] = []
    handle = shelved(world, old_code(called, world, name="forgotten"))
    world.clock.advance(DAY)
    (report,) = world.outsider(new_code(called, world)).migrations.apply()

    assert dues(handle) == {"nobody_came": world.clock.now() + 30 * DAY, "remind": world.clock.now() + 5 * DAY}
    told = (report.timeouts_kept, report.timeouts_begun, report.timeouts_gone)
    assert told == ((), ("nobody_came", "remind"), ("forgotten",))


def test_a_dry_run_tells_what_would_become_of_the_timeouts(world: World) -> None:
    handle = shelved(world, old_code([], world))
    before = handle.pending()
    (stored,) = world.outsider(new_code([], world)).migrations.apply(dry_run=True)
    (ended,) = world.outsider(new_code([], world, to=After.RETURNED)).migrations.apply(dry_run=True)

    assert (stored.timeouts_kept, stored.timeouts_begun, stored.timeouts_gone) == (("nobody_came",), ("remind",), ())
    assert (ended.timeouts_kept, ended.timeouts_begun, ended.timeouts_gone) == ((), (), ("nobody_came",))
    assert handle.pending() == before


def test_a_paused_run_keeps_the_time_that_was_left_and_the_pause_does_not_count(world: World) -> None:
    called: list[datetime] = []
    handle = shelved(world, old_code(called, world))
    world.clock.advance(DAY)
    handle.pause("look at this")
    world.clock.advance(10 * DAY)
    world.engine(new_code(called, world), store=late(world, 7 * SECOND)).migrations.apply()
    assert (handle.record().status, handle.record().state) == ("stored", RunState.PAUSED)
    assert dues(handle) == {"nobody_came": None, "remind": None}
    world.clock.advance(10 * DAY)
    with world.engine(new_code(called, world)) as engine:
        engine.run_until_idle()
        engine.handle(handle.run_id).resume()

        assert dues(handle) == {"nobody_came": world.clock.now() + 2 * DAY, "remind": world.clock.now() + 5 * DAY}


def test_the_time_of_a_pause_before_the_migration_stays_excluded(world: World) -> None:
    handle = shelved(world, old_code([], world))
    handle.pause("look at this")
    world.clock.advance(10 * DAY)
    handle.resume()
    due = dues(handle)["nobody_came"]
    assert due == world.clock.now() + 3 * DAY
    world.clock.advance(HOUR)
    world.outsider(new_code([], world)).migrations.apply()

    assert dues(handle)["nobody_came"] == due


def test_a_timeout_that_runs_on_is_not_asked_for_its_moment_again(world: World) -> None:
    asked: list[datetime] = []

    def at(run: Run[Parcel, After], now: datetime) -> datetime:
        asked.append(now)
        return now + HOUR

    handle = shelved(world, old_code([], world))
    due = dues(handle)["nobody_came"]
    world.outsider(new_code([], world, at=at)).migrations.apply()

    assert (dues(handle)["nobody_came"], asked) == (due, [])


def test_a_timeout_that_had_skipped_does_not_begin_again(world: World) -> None:
    called: list[datetime] = []
    old = old_code(called, world, answer=lambda run: run.skip())
    with world.engine(old) as engine:
        handle = engine.trigger(old, "p", Parcel())
        engine.run_until_idle()
        engine.advance(3 * DAY)
        assert len(called) == 1
        assert dues(handle) == {"nobody_came": None}
    with world.engine(new_code(called, world)) as engine:
        engine.advance(40 * DAY)

        assert handle.record().status == "stored"
        assert len(called) == 1


def test_a_timeout_of_older_code_that_is_being_executed_is_waited_for(world: World) -> None:
    called: list[datetime] = []
    seen: list[tuple[str, int]] = []

    def answer(run: Run[Parcel, Before]) -> None:
        (report,) = world.outsider(new_code(called, world)).migrations.apply()
        seen.append((world.store.lookup([run.run_id])[run.run_id].status, report.busy))

    old = old_code(called, world, answer=answer)
    with world.engine(old) as engine:
        handle = engine.trigger(old, "p", Parcel())
        engine.run_until_idle()
        engine.advance(3 * DAY)

    assert seen == [("shelved", 1)]
    assert len(called) == 1
    assert (handle.record().status, handle.record().state) == ("returned", RunState.COMPLETED)


def test_a_timeout_that_fails_while_it_is_waited_for_is_tried_again_after_the_migration(world: World) -> None:
    called: list[datetime] = []

    def answer(run: Run[Parcel, Before]) -> None:
        raise RuntimeError("no van")

    old = old_code(called, world, answer=answer)
    with world.engine(old) as engine:
        handle = engine.trigger(old, "p", Parcel())
        engine.run_until_idle()
        engine.advance(3 * DAY)
    assert len(called) == 1
    retry = dues(handle)["nobody_came"]
    assert retry > world.clock.now()
    assert [row.attempts for row in handle.pending()] == [1]
    with world.engine(new_code(called, world)) as engine:
        engine.run_until_idle()
        assert (handle.record().status, dues(handle)["nobody_came"], len(called)) == ("stored", retry, 1)
        assert {row.attempts for row in handle.pending()} == {0}
        engine.advance(MINUTE)

        assert called[1:] == [retry]
        assert handle.record().state is RunState.COMPLETED


def test_a_claim_between_the_look_and_the_commit_loses_no_timeout_and_moves_the_run_once(world: World) -> None:
    """Older code takes the timeout just then: its answer meets another version, and the new status's is due at once."""
    called: list[datetime] = []
    old = old_code(called, world, answer=lambda run: reports.append(newer.migrations.apply()[0]))
    reports: list[Any] = []
    owner: list[str | None] = []

    def rows(run_ids: list[str]) -> Any:
        found = world.store.rows(run_ids)
        owner.extend(row.owner for row in found)
        return [type(row)(**{name: getattr(row, name) for name in row.__struct_fields__} | {"owner": None}) for row in found]

    newer = world.engine(new_code(called, world), store=Doctored(world.store, rows=rows))
    with world.engine(old) as engine:
        handle = engine.trigger(old, "p", Parcel())
        engine.run_until_idle()
        engine.advance(3 * DAY)
    assert any(owner), "it was claimed"
    assert (reports[0].migrated, handle.record().status) == (1, "stored")
    with world.engine(new_code(called, world)) as engine:
        engine.run_until_idle()

    assert len(called) == 2
    assert [row.to_status for row in handle.history()] == ["new", "shelved", "stored", "returned"]
