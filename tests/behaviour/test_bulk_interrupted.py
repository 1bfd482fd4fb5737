"""Operations on many runs that are interrupted and gone on with, and the audit trail that they leave."""

from __future__ import annotations

import pytest

from flowdsl.engine.bulk_operation import PAGE, BulkOperation
from flowdsl.errors import (
    OperationError,
    OperationStoppedError,
)
from flowdsl.model.bulk import BulkVerb
from flowdsl.model.run_state import RunState
from tests.behaviour.test_bulk import PAUSED_BY_ERRORS, passing, paused_by_errors, states
from tests.behaviour.world import (
    MINUTE,
    SECOND,
    Job,
    Thing,
    World,
    failing_commits,
)


@pytest.mark.parametrize("turns", [0, 1, PAGE - 1, PAGE, PAGE + 7])
def test_an_operation_whose_process_is_gone_is_gone_on_with_and_no_run_has_two_turns(world: World, turns: int) -> None:
    job = Job(world.clock)
    engine = world.outsider(job.workflow)
    handles = engine.trigger_many(job.workflow, [(f"thing-{n}", Thing()) for n in range(PAGE + 20)])
    operation = engine.bulk.begin(BulkVerb.PAUSE, "workflow=jobs", reason="maintenance", rate=5)
    while operation.report.turns < turns:
        if not operation.step():
            world.clock.advance(SECOND)

    report = world.outsider(job.workflow).bulk.go_on(operation.order.operation, rate=None)

    assert (report.done, report.finished) == (PAGE + 20, True)
    assert states(handles) == {RunState.PAUSED: PAGE + 20}
    assert {handle.record().version for handle in handles} == {2}


def test_a_turn_that_leaves_the_run_among_those_meant_is_not_given_twice(world: World) -> None:
    """A retry leaves status and workflow as they were: only the history tells."""
    _, engine, handles = paused_by_errors(world, 3)
    operation = engine.bulk.begin(BulkVerb.RETRY, "status=new", reason="again", rate=1)
    operation.step()
    world.clock.advance(SECOND)
    operation.step()
    assert operation.report.done == 2

    report = engine.bulk.go_on(operation.order.operation, rate=None)

    assert (report.done, report.refused) == (3, 0)
    assert [handle.record().version for handle in handles] == [3, 3, 3]


def test_a_store_that_does_not_answer_stops_it_and_it_can_be_gone_on_with(memory_world: World) -> None:
    job, engine, handles = paused_by_errors(memory_world, 4)
    flaky = memory_world.engine(job.workflow, store=failing_commits(memory_world.store, 0))
    operation = flaky.bulk.begin(BulkVerb.RETRY, PAUSED_BY_ERRORS, reason="again", rate=1)
    operation.step()
    flaky.store.methods.update(failing_commits(memory_world.store, 1).methods)  # type: ignore[attr-defined]

    with pytest.raises(OperationStoppedError, match="the database is away") as caught:
        operation.run(wait=passing(memory_world))

    report = engine.bulk.go_on(caught.value.operation, rate=None)
    assert report.done == 4
    assert [handle.record().version for handle in handles] == [3, 3, 3, 3]


def test_of_two_processes_that_go_on_with_it_one_stops(world: World) -> None:
    job, engine, handles = paused_by_errors(world, 4)
    operation = engine.bulk.begin(BulkVerb.RETRY, PAUSED_BY_ERRORS, reason="again", rate=1)
    operation.step()
    other = world.outsider(job.workflow).bulk.begin_again(operation.order.operation, rate=1)
    other.step()
    operation.run(wait=passing(world))

    with pytest.raises(OperationError, match="by another process"):
        other.run(wait=passing(world))

    assert [handle.record().version for handle in handles] == [3, 3, 3, 3]


def test_a_stop_from_another_thread_leaves_the_rest_for_later(memory_world: World) -> None:
    _, engine, handles = paused_by_errors(memory_world, 4)
    operation: BulkOperation = engine.bulk.begin(
        BulkVerb.RETRY, PAUSED_BY_ERRORS, reason="again", rate=1, seen=lambda _: operation.stop()
    )

    report = operation.run()

    assert (report.done, report.finished) == (1, False)
    assert engine.bulk.go_on(report.operation, rate=None).done == 4
    assert states(handles) == {RunState.RUNNING: 4}


def test_an_operation_that_is_not_there_or_finished_is_not_gone_on_with(world: World) -> None:
    _, engine, _ = paused_by_errors(world, 1)
    report = engine.bulk.retry(PAUSED_BY_ERRORS, reason="again", rate=None)

    with pytest.raises(OperationError, match="is finished"):
        engine.bulk.go_on(report.operation)
    with pytest.raises(OperationError, match=r"no operation 'nope'.*flowdsl audit"):
        engine.bulk.go_on("nope")


# -- the audit trail ----------------------------------------------------------------------------------------------------------


def test_every_operation_leaves_an_entry_that_says_who_did_what_to_whom_and_why(world: World) -> None:
    _, engine, _ = paused_by_errors(world, 3)
    began = world.clock.now()
    engine.bulk.retry(PAUSED_BY_ERRORS, reason="luck is back", actor="Ada", rate=None, limit=2)
    world.clock.advance(MINUTE)
    engine.bulk.move("workflow=jobs and state=paused", to="done", reason="enough", actor="Bob", rate=None, force=True)

    move, retry = engine.bulk.audit()

    assert (retry.verb, retry.actor, retry.reason, retry.where) == ("retry", "Ada", "luck is back", PAUSED_BY_ERRORS)
    assert (retry.at, retry.finished_at, retry.done, retry.details) == (began, began, 2, {"limit": "2"})
    assert (move.verb, move.done, move.details) == ("move", 1, {"to": "done", "force": "yes"})


def test_the_audit_trail_is_read_page_by_page_newest_first(world: World) -> None:
    _, engine, _ = paused_by_errors(world, 1)
    for number in range(5):
        world.clock.advance(SECOND)
        engine.bulk.pause("state=running", reason=str(number), rate=None)

    first = engine.bulk.audit(limit=3)
    rest = engine.bulk.audit(after=first[-1].key)

    assert [entry.reason for entry in (*first, *rest)] == ["4", "3", "2", "1", "0"]


def test_an_operation_under_way_is_in_the_audit_trail_without_an_end(world: World) -> None:
    _, engine, _ = paused_by_errors(world, 3)
    operation = engine.bulk.begin(BulkVerb.RETRY, PAUSED_BY_ERRORS, reason="again", rate=None)
    (entry,) = engine.bulk.audit()
    assert (entry.operation, entry.finished_at) == (operation.order.operation, None)

    operation.run()

    (entry,) = engine.bulk.audit()
    assert (entry.done, entry.finished_at) == (3, world.clock.now())
