"""Runs in statuses that the code has no more, and where declared migrations take them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pytest

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.auto_resume import AutoResume
from flowdsl.engine.handle import RunHandle
from flowdsl.engine.migration_pass import BATCH
from flowdsl.errors import StoreUnavailableError
from flowdsl.graph.edge import EdgeCause
from flowdsl.model.history import Cause
from flowdsl.model.outcome import Outcome
from flowdsl.model.pending import RowKind
from flowdsl.model.run_state import RunState
from tests.behaviour.world import HOUR, MINUTE, SECOND, Doctored, World

NEVER = AutoResume(after=None)


class Before(StrEnum):
    NEW = "new"
    CHECKING = "checking"
    SENT = "sent"


class After(StrEnum):
    NEW = "new"
    REVIEW = "review"
    SENT = "sent"


@dataclass
class Parcel:
    weight: int = 1


@dataclass
class Weighed:
    grams: int


def old_code(bodies: list[str], error: str | None = None) -> Workflow[Parcel, Before]:
    flow = Workflow("post", object_type=Parcel, status_type=Before)

    @flow.step(from_=Before.NEW, to=Before.CHECKING)
    def begin(run: Run[Parcel, Before]) -> None: ...

    @flow.step(from_=Before.CHECKING, to=Before.SENT, pause_after_err_count=1)
    def check(run: Run[Parcel, Before]) -> Outcome:
        bodies.append(f"check {run.idempotency_key}")
        if error is not None:
            raise RuntimeError(error)
        return run.skip()

    return flow


def new_code(bodies: list[str], *, to: After = After.REVIEW) -> Workflow[Weighed, After]:
    """The status `checking` is now `review`, and the object has another form."""
    flow = Workflow("post", object_type=Weighed, status_type=After)

    @flow.step(from_=After.NEW, to=After.REVIEW)
    def begin(run: Run[Weighed, After]) -> None: ...

    @flow.step(from_=After.REVIEW, to=After.SENT)
    def review(run: Run[Weighed, After]) -> None:
        bodies.append(f"review {run.object.grams} {run.idempotency_key}")

    @flow.timeout(from_=After.REVIEW, to=After.SENT, after=3 * HOUR)
    def forgotten(run: Run[Weighed, After]) -> None: ...

    @flow.migrate(from_="checking", to=to)
    def weigh(parcel: dict[str, Any]) -> None:
        parcel["grams"] = parcel.pop("weight") * 1000

    return flow


def started(world: World, bodies: list[str], *, count: int = 1, error: str | None = None) -> list[RunHandle[Any, Any]]:
    """Runs of the old code in `checking`."""
    old = old_code(bodies, error)
    with world.engine(old, auto_resume=AutoResume(after=2 * HOUR)) as engine:
        engine.trigger_many(old, [(f"p-{number}", Parcel(number)) for number in range(count)])
        engine.run_until_idle()
        return [engine.latest(old, f"p-{number}") for number in range(count)]


def test_runs_go_where_the_migration_leads_with_their_object_rewritten(world: World) -> None:
    bodies: list[str] = []
    (handle,) = started(world, bodies)
    before = handle.record()
    assert before.status == "checking"
    with world.engine(new_code(bodies)) as engine:
        engine.run_until_idle()

        row = handle.history()[before.version]
        assert (row.from_status, row.to_status, row.cause, row.name) == ("checking", "review", Cause.MIGRATION, NAME)
        assert (row.actor, row.reason) == ("migrator", "status 'checking' is no more")
        assert (handle.record().status, handle.record().state) == ("sent", RunState.COMPLETED)
        first, second = bodies
        assert second == f"review 0 {first.split()[1]}", "the same work under another name keeps its idempotency key"


NAME = "new_code.<locals>.weigh"


def test_every_run_is_migrated_batch_by_batch(memory_world: World) -> None:
    bodies: list[str] = []
    handles = started(memory_world, bodies, count=2 * BATCH + 1)
    with memory_world.engine(new_code(bodies)) as engine:
        engine.run_until_idle()

        assert {handle.record().status for handle in handles} == {"sent"}


def test_runs_that_older_code_brings_there_later_are_found_too(world: World) -> None:
    bodies: list[str] = []
    with world.engine(new_code(bodies)) as engine:
        engine.run_until_idle()
        (handle,) = started(world, bodies)
        engine.advance(MINUTE)

        assert handle.record().status == "sent"


def test_the_longer_nothing_is_found_the_more_seldom_it_is_looked_for(memory_world: World) -> None:
    asked: list[Any] = []

    def runs(query: Any) -> Any:
        if query.statuses == ("checking",):
            asked.append(memory_world.clock.now())
        return memory_world.store.runs(query)

    with memory_world.engine(new_code([]), store=Doctored(memory_world.store, runs=runs)) as engine:
        for _ in range(240):
            engine.advance(15 * SECOND)

        waits = [(later - earlier) // MINUTE for earlier, later in itertools.pairwise(asked)]
        assert waits == [1, 2, 4, 8, 10, 10, 10, 10]
        started(memory_world, [])
        for _ in range(80):
            engine.advance(15 * SECOND)
        waits = [(later - earlier) // MINUTE for earlier, later in itertools.pairwise(asked)]
        assert waits[8:11] == [10, 10, 1], "once there was something, it looks again soon"


def test_a_run_paused_by_a_person_stays_paused_by_them(world: World) -> None:
    bodies: list[str] = []
    (handle,) = started(world, bodies)
    handle.pause("look at this", actor="Ada")
    with world.engine(new_code(bodies)) as engine:
        engine.advance(5 * HOUR)

        record = handle.record()
        assert (record.status, record.state, record.reason, record.actor) == ("review", RunState.PAUSED, "look at this", "Ada")
        (timer,) = handle.pending()
        assert (timer.kind, timer.due_at) == (RowKind.TIMEOUT, None)
        engine.handle(handle.run_id).resume()
        assert [row.due_at for row in handle.pending() if row.kind is RowKind.TIMEOUT] == [world.clock.now() + 3 * HOUR]
        engine.run_until_idle()
        assert handle.record().status == "sent"


def test_a_run_paused_by_errors_keeps_its_error_and_its_automatic_resume(world: World) -> None:
    bodies: list[str] = []
    (handle,) = started(world, bodies, error="scales broken")
    paused = handle.record()
    assert (paused.state, paused.last_error) == (RunState.PAUSED, "RuntimeError: scales broken")
    world.clock.advance(HOUR)
    with world.engine(new_code(bodies)) as engine:
        engine.run_until_idle()
        record = handle.record()
        assert (record.status, record.state, record.last_error) == ("review", RunState.PAUSED, paused.last_error)
        assert "It is going to be resumed by itself at" in str(handle.explain())

        engine.advance(HOUR - SECOND)
        assert handle.record().state is RunState.PAUSED
        engine.advance(10 * SECOND)
        assert handle.record().status == "sent"


def test_a_migration_to_where_runs_end_completes_them(world: World) -> None:
    bodies: list[str] = []
    plain, paused = started(world, bodies, count=2)
    paused.pause("look at this")
    with world.engine(new_code(bodies, to=After.SENT)) as engine:
        engine.run_until_idle()

        for handle in (plain, paused):
            assert (handle.record().status, handle.record().state) == ("sent", RunState.COMPLETED)
            assert handle.pending() == []


def test_a_step_of_older_code_that_is_running_is_waited_for(world: World) -> None:
    bodies: list[str] = []
    new = new_code(bodies)

    def check(run: Run[Parcel, Before]) -> Outcome:
        world.clock.advance(5 * MINUTE)
        newer.worker.membership.step()
        newer.run_until_idle()
        bodies.append(run.record.status + str(world.store.lookup([run.run_id])[run.run_id].version == run.version))
        return run.skip()

    old = Workflow("post", object_type=Parcel, status_type=Before)
    old.step(from_=Before.NEW, to=Before.CHECKING)(lambda run: None)
    old.step(from_=Before.CHECKING, to=Before.SENT)(check)
    with world.engine(new, lapse=HOUR, lease=HOUR) as newer, world.engine(old, lapse=HOUR, lease=HOUR) as older:
        handle = older.trigger(old, "p", Parcel(1))
        older.run_until_idle()
        assert bodies == ["checkingTrue"]
        assert handle.record().status == "checking"
        newer.advance(MINUTE)

        assert handle.record().status == "sent"


def test_a_cancel_that_waits_is_applied_before_a_migration(world: World) -> None:
    gone: list[bool] = []

    def check(run: Run[Parcel, Before]) -> Outcome:
        older.handle(run.run_id).cancel("enough", actor="Ada")
        gone.append(True)
        return run.skip()

    def commit(changes: Any) -> Any:
        if gone:
            raise StoreUnavailableError("the machine is off.")
        return world.store.commit(changes)

    old = Workflow("post", object_type=Parcel, status_type=Before)
    old.step(from_=Before.NEW, to=Before.CHECKING)(lambda run: None)
    old.step(from_=Before.CHECKING, to=Before.SENT)(check)
    store = Doctored(world.store, commit=commit)
    with world.engine(old, store=store) as older:
        run_id = older.trigger(old, "p", Parcel(1)).run_id
        while not gone:
            older.step()
        older.crash()
    assert world.store.lookup([run_id])[run_id].requested is not None
    world.clock.advance(10 * MINUTE)
    with world.engine(new_code([])) as newer:
        newer.advance(2 * MINUTE)

    record = world.store.lookup([run_id])[run_id]
    assert (record.state, record.reason, record.actor) == (RunState.CANCELLED, "enough", "Ada")


@pytest.mark.parametrize(
    ("rewrite", "error"),
    [
        (lambda parcel: parcel["colour"], "KeyError: 'colour'"),
        (lambda parcel: {"grams": "heavy"}, "PayloadError: a Weighed holds a value that its type does not allow"),
        (lambda parcel: {"grams": {1}, "x": object()}, "PayloadError: a rewritten object cannot be stored as JSON"),
    ],
)
def test_a_function_that_fails_leaves_its_run_where_it_is_and_the_others_go_on(world: World, rewrite: Any, error: str) -> None:
    bodies: list[str] = []
    bad, good = started(world, bodies, count=2)
    new = new_code(bodies)

    def weigh(parcel: dict[str, Any]) -> Any:
        return rewrite(parcel) if parcel["weight"] == 0 else {"grams": 5}

    flow = Workflow("post", object_type=Weighed, status_type=After)
    for spec in new.steps.values():
        flow.step(from_=spec.from_, to=spec.to)(spec.fn)  # type: ignore[arg-type]
    flow.migrate(from_="checking", to=After.REVIEW)(weigh)
    engine = world.outsider(flow)
    (tried,) = engine.migrations.apply(dry_run=True)
    assert (good.record().status, bad.record().status) == ("checking", "checking")
    (report,) = engine.migrations.apply()

    assert (tried.migrated, tried.failed, tried.example) == (report.migrated, report.failed, report.example) == (1, 1, bad.run_id)
    assert (report.error or "").startswith(error)
    assert (good.record().status, bad.record().status) == ("review", "checking")


def test_a_dry_run_stores_nothing_and_an_apply_leaves_an_audit_entry(world: World) -> None:
    bodies: list[str] = []
    handles = started(world, bodies, count=3)
    before = [handle.record() for handle in handles]
    engine = world.outsider(new_code(bodies))

    (report,) = engine.migrations.apply(dry_run=True)
    assert (report.from_status, report.to_status, report.migrated) == ("checking", "review", 3)
    assert [handle.record() for handle in handles] == before
    assert engine.bulk.audit() == []

    engine.migrations.apply(actor="Ada")
    assert {handle.record().status for handle in handles} == {"review"}
    (entry,) = engine.bulk.audit()
    assert (entry.verb, entry.actor, entry.done, entry.details) == ("migrate", "Ada", 3, {"to": "review"})
    assert entry.where == 'workflow = "post" and status = "checking"'
    (again,) = engine.migrations.apply()
    assert again.migrated == 0
    assert len(engine.bulk.audit()) == 1


def test_older_code_that_is_still_there_does_not_keep_migrations_from_newer_code(world: World) -> None:
    """It does not hold the role of what it does not declare."""
    bodies: list[str] = []
    old = old_code(bodies)
    with world.engine(old) as older:
        handle = older.trigger(old, "p", Parcel(1))
        older.run_until_idle()
        with world.engine(new_code(bodies)) as newer:
            newer.run_until_idle()

            assert handle.record().status == "sent"


def test_what_newer_code_stored_is_left_to_that(world: World) -> None:
    bodies: list[str] = []
    future = Workflow("post", object_type=Parcel, status_type=Before, schema_version=2)
    future.upcast(from_version=1)(lambda parcel: parcel)
    future.step(from_=Before.NEW, to=Before.CHECKING)(lambda run: None)
    future.callback(from_=Before.CHECKING, to=Before.SENT, name="go")(lambda run: None)
    with world.engine(future) as engine:
        handle = engine.trigger(future, "p", Parcel(1))
        engine.run_until_idle()
    (report,) = world.outsider(new_code(bodies)).migrations.apply()

    assert (report.migrated, report.newer, report.failed) == (0, 1, 0)
    assert handle.record().status == "checking"


def test_a_migration_without_a_function_keeps_the_object_as_it_is(world: World) -> None:
    bodies: list[str] = []
    (handle,) = started(world, bodies)
    stored = handle.record().payload
    flow = Workflow("post", object_type=Parcel, status_type=After)
    flow.step(from_=After.NEW, to=After.REVIEW)(lambda run: None)
    flow.callback(from_=After.REVIEW, to=After.SENT, name="go")(lambda run: None)
    flow.migrate(from_="checking", to=After.REVIEW)
    with world.engine(flow) as engine:
        engine.run_until_idle()

        assert (handle.record().status, handle.record().payload) == ("review", stored)
        assert handle.history()[-1].name == "checking -> review"


def test_a_migration_is_an_edge_of_the_graph_and_changes_neither_where_runs_begin_nor_where_they_end() -> None:
    flow = new_code([])
    definition = flow.definition()

    assert [(e.source, e.target) for e in flow.graph.edges if e.cause is EdgeCause.MIGRATION] == [("checking", "review")]
    assert (definition.start, definition.starts, definition.terminal) == ("new", ("new",), frozenset({"sent"}))
    assert definition.statuses == {"new", "review", "sent"}
    ended = new_code([], to=After.NEW).definition()
    assert (ended.starts, ended.terminal) == (("new",), frozenset({"sent"}))
