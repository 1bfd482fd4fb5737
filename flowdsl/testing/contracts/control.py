"""Control: pausing and cancelling beside running steps, and the timeouts of paused runs."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flowdsl.model.change import CommitOutcome, FailRow, Refusal, ReleaseRow, RequestControl
from flowdsl.model.history import Cause, Origin
from flowdsl.model.pending import NewRow, RowKind
from flowdsl.model.record import ControlRequest, RunRecord
from flowdsl.model.run_state import RunState
from flowdsl.testing.contracts.samples import SECOND, World

MICROSECOND = timedelta(microseconds=1)
PAUSE = ControlRequest(RunState.PAUSED, "wait", "ada")
CANCEL = ControlRequest(RunState.CANCELLED, "no", "bob")


class ControlRules:
    def test_pausing_removes_the_step_row(self, world: World) -> None:
        record = world.started()
        assert world.commit(world.stop(record, RunState.PAUSED, "wait")).state is RunState.PAUSED
        after = world.run(record.run_id)
        assert (after.state, after.reason, after.actor, after.version) == (RunState.PAUSED, "wait", "ada", 2)
        assert list(world.store.rows([record.run_id])) == []

    def test_a_stopped_run_keeps_no_step_row_even_when_one_is_asked_for(self, world: World) -> None:
        record = world.started()
        row = NewRow(row_id=record.run_id, topic="orders/created")
        world.commit(world.move(record, to_state=RunState.PAUSED, row=row))
        assert list(world.store.rows([record.run_id])) == []

    def test_a_run_whose_step_is_being_executed_is_not_paused_past_it(self, world: World) -> None:
        record, owner = world.started(), world.owner()
        world.claim_one(owner)
        pause = world.stop(record, RunState.PAUSED, unless_claimed=True)
        result = world.commit(pause)
        assert (result.outcome, result.refusal) == (CommitOutcome.REFUSED, Refusal.CLAIMED)
        assert world.run(record.run_id) == record
        assert len(world.store.rows([record.run_id])) == 1
        assert world.commit(world.stop(record, RunState.CANCELLED)).applied, "without the condition it is"

    def test_a_run_that_nobody_executes_is_paused_at_once(self, world: World) -> None:
        record = world.started()
        assert world.commit(world.stop(record, RunState.PAUSED, unless_claimed=True)).applied
        assert list(world.store.rows([record.run_id])) == []

    def test_a_request_waits_outside_the_version_and_is_visible_at_once(self, world: World) -> None:
        record = _claimed(world)[0]
        assert world.commit(_request(world, record, PAUSE)).applied
        after = world.run(record.run_id)
        assert (after.requested, after.version, after.state) == (PAUSE, record.version, record.state)

    def test_a_request_needs_a_claimed_step_row(self, world: World) -> None:
        record = world.started()
        assert world.commit(_request(world, record, PAUSE)).refusal is Refusal.NOT_CLAIMED
        assert world.run(record.run_id).requested is None
        world.commit(world.stop(record, RunState.CANCELLED))
        assert world.commit(_request(world, record, PAUSE)).refusal is Refusal.FINISHED
        nobody = RequestControl(change_id=world.new_id(), run_id="nobody", request=PAUSE)
        assert world.commit(nobody).refusal is Refusal.NOT_FOUND

    def test_a_cancel_replaces_a_waiting_pause_and_never_the_other_way_round(self, world: World) -> None:
        record = _claimed(world)[0]
        for request, expected in ((PAUSE, PAUSE), (CANCEL, CANCEL), (PAUSE, CANCEL)):
            assert world.commit(_request(world, record, request)).applied
            assert world.run(record.run_id).requested == expected

    @pytest.mark.parametrize("request_", [PAUSE, CANCEL])
    def test_the_step_commits_and_the_request_is_applied_with_it(self, world: World, request_: ControlRequest) -> None:
        record = _claimed(world)[0]
        world.commit(_request(world, record, request_))
        result = world.commit(world.move(record, "paid"))
        assert (result.outcome, result.state) == (CommitOutcome.APPLIED, request_.state)
        after = world.run(record.run_id)
        assert (after.status, after.state, after.reason, after.actor) == ("paid", request_.state, request_.reason, request_.actor)
        assert after.requested is None
        assert list(world.store.rows([record.run_id])) == []
        last = world.store.history(record.run_id)[-1]
        assert (last.to_status, last.to_state, last.reason, last.actor) == (
            "paid",
            request_.state,
            request_.reason,
            request_.actor,
        )

    def test_a_cancel_that_is_applied_with_a_step_frees_the_foreign_id(self, world: World) -> None:
        record = _claimed(world, "order-1")[0]
        world.commit(_request(world, record, CANCEL))
        world.commit(world.move(record, "paid"))
        assert world.commit(world.start("order-1")).applied

    def test_a_step_that_ends_the_run_wins_over_the_request(self, world: World) -> None:
        record = _claimed(world)[0]
        world.commit(_request(world, record, PAUSE))
        result = world.commit(world.move(record, "done", to_state=RunState.COMPLETED, row=None))
        assert result.state is RunState.COMPLETED
        after = world.run(record.run_id)
        assert (after.state, after.requested, after.reason) == (RunState.COMPLETED, None, None)

    @pytest.mark.parametrize("request_", [PAUSE, CANCEL])
    def test_the_request_wins_over_a_pause_of_the_steps_own(self, world: World, request_: ControlRequest) -> None:
        record = _claimed(world)[0]
        world.commit(_request(world, record, request_))
        origin = Origin(Cause.ERRORS, name="step", actor="worker-1", reason="failed 3 times", error="ValueError: no")
        result = world.commit(world.move(record, to_state=RunState.PAUSED, origin=origin, row=None))
        assert (result.outcome, result.state) == (CommitOutcome.APPLIED, request_.state)
        after = world.run(record.run_id)
        assert (after.state, after.reason, after.actor) == (request_.state, request_.reason, request_.actor)
        assert (after.requested, after.last_error) == (None, "ValueError: no")
        last = world.store.history(record.run_id)[-1]
        assert (last.to_state, last.reason, last.actor, last.cause) == (
            request_.state,
            request_.reason,
            request_.actor,
            Cause.ERRORS,
        )

    def test_a_change_that_does_not_honour_the_request_clears_it(self, world: World) -> None:
        record = _claimed(world)[0]
        world.commit(_request(world, record, PAUSE))
        assert world.commit(world.move(record, "paid", honour_request=False)).state is RunState.RUNNING
        assert world.run(record.run_id).requested is None

    def test_a_failed_attempt_tells_of_the_request_and_its_row_is_due_at_once(self, world: World) -> None:
        record, owner, delivery = _claimed(world)
        world.commit(_request(world, record, PAUSE))
        fail = FailRow(
            change_id=world.new_id(),
            row_id=record.run_id,
            owner=owner,
            delivery=delivery,
            error="e",
            delay=timedelta(hours=1),
        )
        assert world.commit(fail).requested == PAUSE
        claimed = world.claim_one(world.owner())
        assert claimed.run is not None
        assert claimed.run.requested == PAUSE

    def test_a_row_given_back_tells_of_the_request(self, world: World) -> None:
        record, owner, delivery = _claimed(world)
        world.commit(_request(world, record, CANCEL))
        release = ReleaseRow(change_id=world.new_id(), row_id=record.run_id, owner=owner, delivery=delivery)
        assert world.commit(release).requested == CANCEL

    def test_a_pause_stops_the_clock_of_timeouts_and_a_resume_restores_what_was_left(self, world: World) -> None:
        record = world.started()
        timer = NewRow(row_id=f"{record.run_id}/t", topic="orders/t", kind=RowKind.TIMEOUT, delay=timedelta(seconds=10))
        world.commit(world.move(record, "paid", side_rows=(timer,)))
        world.clock.advance(timedelta(seconds=4))
        world.commit(world.stop(world.run(record.run_id), RunState.PAUSED))
        world.clock.advance(timedelta(days=3))
        owner = world.owner()
        assert world.claim(owner, "orders/t") == []
        assert world.store.next_due("default", ["orders/t"]) is None
        world.commit(world.move(world.run(record.run_id)))
        (left,) = [row for row in world.store.rows([record.run_id]) if row.kind is RowKind.TIMEOUT]
        assert left.due_at == world.clock.now() + timedelta(seconds=6)
        world.clock.advance(timedelta(seconds=6))
        assert len(world.claim(world.owner(), "orders/t")) == 1

    def test_a_row_that_stands_still_tells_what_is_left(self, world: World) -> None:
        record = world.started()
        timers = (
            NewRow(row_id=f"{record.run_id}/t", topic="orders/t", kind=RowKind.TIMEOUT, delay=timedelta(seconds=10)),
            NewRow(row_id=f"{record.run_id}/u", topic="orders/u", kind=RowKind.TIMEOUT, delay=None),
        )
        world.commit(world.move(record, "paid", side_rows=timers))
        assert _left(world, record) == [None, None], "both have what they have: a time, and none"
        world.clock.advance(timedelta(seconds=4, microseconds=1))
        world.commit(world.stop(world.run(record.run_id), RunState.PAUSED))
        world.clock.advance(timedelta(days=3))
        assert _left(world, record) == [timedelta(seconds=6) - MICROSECOND, None]
        world.commit(world.move(world.run(record.run_id)))
        assert _left(world, record) == [None, None]

    def test_a_row_may_be_asked_for_at_a_moment(self, world: World) -> None:
        record, owner, due = world.started(), world.owner(), world.store.now() + SECOND + MICROSECOND
        timer = NewRow(row_id=f"{record.run_id}/t", topic="orders/t", kind=RowKind.TIMEOUT, delay=None, due_at=due)
        world.clock.advance(SECOND)
        world.commit(world.move(record, "paid", side_rows=(timer,)))
        assert [row.due_at for row in world.store.rows([record.run_id]) if row.kind is RowKind.TIMEOUT] == [due]
        assert world.claim(owner, "orders/t") == []
        world.clock.advance(MICROSECOND)
        assert len(world.claim(owner, "orders/t")) == 1

    def test_a_step_row_too_may_be_asked_for_at_a_moment(self, world: World) -> None:
        record, owner, due = world.started(), world.owner(), world.store.now() + SECOND
        row = NewRow(row_id=record.run_id, topic="orders/later", due_at=due)
        world.commit(world.move(record, "paid", row=row))
        assert world.claim(owner, "orders/later") == []
        world.clock.advance(SECOND)
        assert world.claim_one(owner, "orders/later").row.due_at == due

    def test_a_moment_that_is_past_is_kept_and_a_paused_run_is_left_what_there_is_until_it(self, world: World) -> None:
        record, due = world.started(), world.store.now()
        world.clock.advance(SECOND)
        timers = (
            NewRow(row_id=f"{record.run_id}/t", topic="orders/t", kind=RowKind.TIMEOUT, due_at=due),
            NewRow(row_id=f"{record.run_id}/u", topic="orders/u", kind=RowKind.TIMEOUT, due_at=due + 3 * SECOND),
        )
        world.commit(world.move(record, "paid", side_rows=timers))
        assert world.claim_one(world.owner(), "orders/t").row.due_at == due
        world.commit(world.move(world.run(record.run_id), to_state=RunState.PAUSED, new_visit=True, row=None, side_rows=timers))
        assert _left(world, record) == [timedelta(0), 2 * SECOND]

    def test_timeouts_of_a_run_that_is_paused_in_the_same_change_are_born_stopped(self, world: World) -> None:
        record = _claimed(world)[0]
        world.commit(_request(world, record, PAUSE))
        timer = NewRow(row_id=f"{record.run_id}/t", topic="orders/t", kind=RowKind.TIMEOUT, delay=SECOND)
        world.commit(world.move(record, "paid", side_rows=(timer,)))
        world.clock.advance(timedelta(days=1))
        assert world.claim(world.owner(), "orders/t") == []
        world.commit(world.move(world.run(record.run_id)))
        world.clock.advance(SECOND)
        assert len(world.claim(world.owner(), "orders/t")) == 1


def _left(world: World, record: RunRecord) -> list[timedelta | None]:
    rows = sorted(world.store.rows([record.run_id]), key=lambda row: row.row_id)
    return [row.remaining for row in rows if row.kind is RowKind.TIMEOUT]


def _claimed(world: World, foreign_id: str | None = None) -> tuple[RunRecord, str, int]:
    owner, record = world.owner(), world.started(foreign_id)
    return record, owner, world.claim_one(owner).row.delivery


def _request(world: World, record: RunRecord, request: ControlRequest) -> RequestControl:
    return RequestControl(change_id=world.new_id(), run_id=record.run_id, request=request)
