"""One verb on many runs: who is meant, how fast, what is kept, and what happens when it is interrupted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from flowdsl.dsl.run import Run
from flowdsl.engine.auto_resume import AutoResume
from flowdsl.engine.bulk_turns import Turn
from flowdsl.errors import (
    BadDataError,
    BlockingCallError,
    ConfigurationError,
    IllegalMoveError,
)
from flowdsl.model.bulk import BulkReport, BulkVerb, Refused
from flowdsl.model.change import MoveRun
from flowdsl.model.condition import WhereError
from flowdsl.model.history import Cause
from flowdsl.model.item import ItemKind
from flowdsl.model.query import Order
from flowdsl.model.run_state import RunState
from flowdsl.testing.stepped import SteppedEngine
from tests.behaviour.world import (
    HOUR,
    SECOND,
    Answer,
    Body,
    Doctored,
    Job,
    Status,
    Thing,
    World,
    failing,
    trigger,
)

NEVER = AutoResume(after=None)
PAUSED_BY_ERRORS = "state=paused and error~luck"


def paused_by_errors(world: World, count: int) -> tuple[Job, SteppedEngine, list[Any]]:
    """Runs that errors paused, and an engine that takes no work."""
    job = Job(world.clock, failing, own={"pause_after_err_count": 1})
    with world.engine(job.workflow, auto_resume=NEVER) as engine:
        handles = []
        for number in range(count):  # one after the other: the oldest has the first turn
            handles.append(engine.trigger(job.workflow, f"thing-{number}", Thing()))
            engine.advance(SECOND)
    return job, world.outsider(job.workflow), handles


def passing(world: World) -> Callable[[float], None]:
    """Lets time pass instead of waiting for it."""
    return lambda seconds: world.clock.advance(timedelta(seconds=seconds, microseconds=1))


def states(handles: list[Any]) -> Counter[RunState]:
    return Counter(handle.record().state for handle in handles)


def test_the_runs_that_are_meant_are_listed_page_by_page(world: World) -> None:
    job, engine, handles = paused_by_errors(world, 7)
    engine.trigger(job.workflow, "other", Thing())
    ids = [handle.run_id for handle in handles]

    seen: list[str] = []
    page = engine.bulk.select(PAUSED_BY_ERRORS, limit=3)
    while True:
        seen += [record.run_id for record in page.runs]
        if page.next is None:
            break
        assert len(page.runs) == 3
        page = engine.bulk.select(PAUSED_BY_ERRORS, limit=3, after=page.next)

    assert seen == ids[::-1]
    assert [r.run_id for r in engine.bulk.select(PAUSED_BY_ERRORS, order=Order.OLDEST_FIRST).runs] == ids
    assert engine.bulk.select("state=completed and state=paused").runs == []


def test_every_run_that_is_meant_has_its_turn_and_no_other(world: World) -> None:
    job, engine, handles = paused_by_errors(world, 5)
    by_a_person = engine.trigger(job.workflow, "other", Thing())
    by_a_person.pause("look at this: no luck")
    untouched = engine.trigger(job.workflow, "third", Thing())

    report = engine.bulk.retry(PAUSED_BY_ERRORS, reason="luck is back", actor="Ada", rate=None)

    assert (report.done, report.refused, report.finished) == (5, 0, True)
    assert states(handles) == {RunState.RUNNING: 5}
    assert (by_a_person.record().version, untouched.record().version) == (2, 1)
    row = handles[0].history()[-1]
    assert (row.cause, row.actor, row.reason) == (Cause.CONTROL, "Ada", "luck is back")
    assert row.name == f"bulk {report.operation}"


def test_runs_that_refuse_are_counted_by_reason_and_keep_no_other_from_its_turn(world: World) -> None:
    _, engine, handles = paused_by_errors(world, 3)
    handles[1].resume()
    handles[1].pause("look at this", actor="Ada")

    report = engine.bulk.retry("workflow=jobs", reason="luck is back", rate=None)

    assert (report.done, report.refused) == (2, 1)
    why = "run RUN stays as it is: it was not errors that paused it but Ada (look at this)."
    assert report.refusals == {why: Refused(1, handles[1].run_id)}
    assert states(handles) == {RunState.RUNNING: 2, RunState.PAUSED: 1}


@pytest.mark.parametrize(
    ("verb", "state"),
    [("pause", RunState.PAUSED), ("cancel", RunState.CANCELLED), ("resume", RunState.RUNNING), ("move", RunState.COMPLETED)],
)
def test_every_verb_does_to_each_run_what_it_does_to_one(world: World, verb: str, state: RunState) -> None:
    job = Job(world.clock)
    engine = world.outsider(job.workflow)
    handles = trigger(engine, job, count=3)
    if verb == "resume":
        for handle in handles:
            handle.pause("lunch")
    more = {"to": Status.DONE} if verb == "move" else {}

    report = getattr(engine.bulk, verb)("workflow=jobs and foreign_id!=thing-2", reason="because", rate=None, **more)

    assert (report.done, report.refused) == (2, 0)
    assert [handle.record().state is state for handle in handles] == [True, True, False]
    assert handles[0].history()[-1].reason == "because"


def test_the_data_of_finished_runs_is_erased_and_unfinished_ones_are_not_selected(world: World) -> None:
    job = Job(world.clock)
    with world.engine(job.workflow) as engine:
        done = [engine.trigger(job.workflow, f"thing-{n}", Thing("Ada Lovelace")) for n in range(3)]
        engine.run_until_idle()
        unfinished = world.outsider(job.workflow).trigger(job.workflow, "other", Thing("Ada Lovelace"))

        report = engine.bulk.delete("workflow=jobs", reason="asked by mail", actor="Bob", rate=None)
        assert (report.done, report.refused) == (3, 0)
        assert states(done) == {RunState.REQUESTED_DATA_DELETED: 3}
        engine.run_until_idle()

        assert states(done) == {RunState.DATA_DELETED: 3}
        assert all(handle.record().payload is None for handle in done)
        assert unfinished.run().object.note == "Ada Lovelace"


def test_a_step_that_is_running_applies_the_cancel_with_its_commit(world: World) -> None:
    reports: list[BulkReport] = []

    def body(run: Run[Thing, Status]) -> Answer:
        run.object.note = "paid"
        reports.append(engine.bulk.cancel("state in (initiated, running)", reason="too late", rate=None))
        return Status.DONE

    job = Job(world.clock, body)
    with world.engine(job.workflow) as engine:
        (handle,) = trigger(engine, job)
        engine.run_until_idle()

        assert (reports[0].done, reports[0].waiting) == (0, 1)
        assert (handle.record().status, handle.run().object.note) == ("done", "paid")


def test_a_dry_run_tells_what_would_happen_and_stores_nothing(world: World) -> None:
    _, engine, handles = paused_by_errors(world, 3)
    handles[1].resume()
    handles[1].pause("look at this")
    before = [handle.record() for handle in handles]
    seen: list[Turn] = []

    report = engine.bulk.retry("workflow=jobs", reason="why not", dry_run=True, seen=seen.append)

    assert (report.done, report.refused, report.finished, report.dry_run) == (2, 1, True, True)
    assert [turn.what for turn in seen] == ["done", "refused", "done"]
    assert [handle.record() for handle in handles] == before
    assert engine.bulk.audit() == []
    assert world.store.items("default", ItemKind.BULK) == []


@pytest.mark.parametrize("verb", list(BulkVerb))
def test_a_dry_run_foresees_what_the_verb_does(memory_world: World, verb: BulkVerb) -> None:
    """Over runs in every situation the counts of the dry run are those of the operation after it."""

    def body(run: Run[Thing, Status]) -> Answer:
        bodies: dict[str, Body] = {
            "thing-0": failing,
            "thing-1": lambda run: run.skip(),
            "thing-2": lambda run: run.pause("of itself"),
        }
        body = bodies.get(run.foreign_id)
        return Status.DONE if body is None else body(run)

    job = Job(memory_world.clock, body, own={"pause_after_err_count": 2, "err_backoff": HOUR})
    with memory_world.engine(job.workflow, auto_resume=NEVER) as engine:
        trigger(engine, job, count=4)
        engine.run_until_idle()
    outside = memory_world.outsider(job.workflow)
    outside.trigger(job.workflow, "thing-5", Thing()).pause("by hand")
    outside.trigger(job.workflow, "thing-6", Thing())
    to = Status.DONE if verb is BulkVerb.MOVE else None

    def carried_out(dry_run: bool) -> BulkReport:
        return outside.bulk.begin(verb, "workflow=jobs", reason="why not", to=to, rate=None, dry_run=dry_run).run()

    foreseen, happened = carried_out(True), carried_out(False)

    assert (foreseen.done, foreseen.refused) == (happened.done, happened.refused)
    assert happened.done > 0


def test_only_runs_that_were_there_at_the_beginning_have_a_turn(memory_world: World) -> None:
    job = Job(memory_world.clock)
    engine = memory_world.outsider(job.workflow)
    trigger(engine, job, count=3)
    memory_world.clock.advance(SECOND)

    def another(turn: Turn) -> None:
        memory_world.clock.advance(SECOND)
        engine.trigger(job.workflow, f"later {turn.run.run_id}", Thing())

    report = engine.bulk.cancel("workflow=jobs", reason="enough", rate=None, seen=another)

    assert report.done == 3


def test_a_run_that_is_no_longer_meant_when_its_turn_comes_is_left_alone(world: World) -> None:
    _, engine, handles = paused_by_errors(world, 3)

    def somebody_else(turn: Turn) -> None:
        if turn.run.run_id == handles[0].run_id:
            handles[1].resume()

    operation = engine.bulk.begin(BulkVerb.CANCEL, PAUSED_BY_ERRORS, reason="hopeless", rate=5, seen=somebody_else)
    report = operation.run(wait=passing(world))

    assert (report.done, report.passed) == (2, 1)
    assert handles[1].record().state is RunState.RUNNING


def test_what_fails_and_is_tried_again_is_found_by_its_error(world: World) -> None:
    job = Job(world.clock, failing, own={"err_backoff": HOUR})
    with world.engine(job.workflow) as engine:
        handles = trigger(engine, job, count=2)
        engine.run_until_idle()
        assert len(job.begun) == 2

        report = engine.bulk.retry("error~'no luck' and failures=1", reason="now", rate=None)
        engine.run_until_idle()

        assert (report.done, len(job.begun)) == (2, 4)
        assert all(handle.pending()[0].attempts == 1 for handle in handles)


def test_the_rate_is_kept(memory_world: World) -> None:
    _, engine, _ = paused_by_errors(memory_world, 10)
    clock = memory_world.clock
    begun = clock.monotonic()
    turns: list[float] = []
    operation = engine.bulk.begin(
        BulkVerb.RETRY, PAUSED_BY_ERRORS, reason="slowly", rate=2, seen=lambda _: turns.append(clock.monotonic() - begun)
    )
    operation.run(wait=passing(memory_world))

    assert turns == pytest.approx([n / 2 for n in range(10)], abs=0.001)


def test_what_may_have_its_turn_at_once_is_committed_together(memory_world: World) -> None:
    job = Job(memory_world.clock)
    outside = memory_world.outsider(job.workflow)
    outside.trigger_many(job.workflow, [(f"thing-{n}", Thing()) for n in range(100)])
    groups: list[int] = []

    def commit(changes: Any) -> Any:
        groups.append(sum(isinstance(change, MoveRun) for change in changes))
        return memory_world.store.commit(changes)

    engine = memory_world.engine(job.workflow, store=Doctored(memory_world.store, commit=commit))
    engine.bulk.pause("workflow=jobs", reason="maintenance", rate=None)
    assert [group for group in groups if group] == [100]

    groups.clear()
    operation = engine.bulk.begin(BulkVerb.RESUME, "workflow=jobs", reason="over", rate=50)
    operation.run(wait=passing(memory_world))
    assert [group for group in groups if group] == [10] * 10, "a fifth of a second's worth at a time"


def test_after_a_break_it_does_not_catch_up_on_its_rate(memory_world: World) -> None:
    _, engine, _ = paused_by_errors(memory_world, 4)
    operation = engine.bulk.begin(BulkVerb.RETRY, PAUSED_BY_ERRORS, reason="slowly", rate=1)
    assert operation.step()
    memory_world.clock.advance(HOUR)
    assert operation.step()
    assert not operation.step()


def test_no_more_runs_than_the_limit_are_changed(world: World) -> None:
    _, engine, handles = paused_by_errors(world, 5)

    report = engine.bulk.retry(PAUSED_BY_ERRORS, reason="two first", rate=None, limit=2)

    assert (report.done, report.finished) == (2, True)
    assert [handle.record().state for handle in handles[:3]] == [RunState.RUNNING, RunState.RUNNING, RunState.PAUSED]


# -- refused ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda bulk: bulk.retry("", reason="x"), WhereError, "no condition"),
        (lambda bulk: bulk.retry("state=puased", reason="x"), WhereError, "Did you mean 'paused'"),
        (lambda bulk: bulk.retry("state=paused", reason=" "), BadDataError, "needs a reason"),
        (lambda bulk: bulk.retry("state=paused", reason="a\0"), BadDataError, "NUL"),
        (lambda bulk: bulk.retry("state=paused", reason="x" * 5000), BadDataError, "at most"),
        (lambda bulk: bulk.retry("state=paused", reason="x", rate=0), ConfigurationError, "rate=0"),
        (lambda bulk: bulk.retry("state=paused", reason="x", limit=0), ConfigurationError, "limit=0"),
        (lambda bulk: bulk.move("state=paused", to="done", reason="x"), WhereError, "has to name the workflow"),
        (lambda bulk: bulk.move("workflow=jobs", to="dnoe", reason="x"), IllegalMoveError, "Its statuses are done, new"),
        (lambda bulk: bulk.move("workflow=posts", to="done", reason="x"), ConfigurationError, "not at hand"),
    ],
)
def test_an_order_that_cannot_be_carried_out_is_refused_before_anything_is_stored(
    memory_world: World, call: Callable[[Any], object], error: type[Exception], says: str
) -> None:
    _, engine, handles = paused_by_errors(memory_world, 1)
    with pytest.raises(error, match=says):
        call(engine.bulk)

    assert handles[0].record().version == 2
    assert engine.bulk.audit() == []


def test_coroutines_have_the_same_verbs_and_a_blocking_one_is_refused(memory_world: World) -> None:
    _, engine, handles = paused_by_errors(memory_world, 3)

    async def use() -> BulkReport:
        with pytest.raises(BlockingCallError, match=r"engine\.aio\.bulk\.retry"):
            engine.bulk.retry(PAUSED_BY_ERRORS, reason="again")
        report = await engine.aio.bulk.retry(PAUSED_BY_ERRORS, reason="again", rate=None)
        assert [entry.operation for entry in await engine.aio.bulk.audit()] == [report.operation]
        return report

    assert asyncio.run(use()).done == 3
    assert states(handles) == {RunState.RUNNING: 3}


def test_a_coroutine_that_is_cancelled_stops_the_operation(memory_world: World) -> None:
    _, engine, _ = paused_by_errors(memory_world, 3)

    async def use() -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None

        def cancel(_: Turn) -> None:
            loop.call_soon_threadsafe(task.cancel)

        await engine.aio.bulk.retry(PAUSED_BY_ERRORS, reason="again", rate=0.5, seen=cancel)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(use())
    (entry,) = engine.bulk.audit()

    assert entry.finished_at is None
    assert engine.bulk.go_on(entry.operation, rate=None).done == 3
