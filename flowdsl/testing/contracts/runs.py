"""Runs: starting, moving, compare-and-set, history."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from flowdsl.model.change import CommitOutcome, FailRow, Refusal
from flowdsl.model.history import Cause, Origin
from flowdsl.model.pending import NewRow, RowKind
from flowdsl.model.record import Payload
from flowdsl.model.run_state import RunState
from flowdsl.testing.contracts.samples import NAMESPACE, SECOND, World


class RunRules:
    def test_a_started_run_is_stored_whole(self, world: World) -> None:
        payload = Payload(bytes(range(256)), "application/x-test", 7)
        metadata = {"tenant": "ärger & co", "trace": "00-1"}
        change = world.start(
            "order-ü", payload=payload, metadata=metadata, tags=("rot", "grün"), parent_run_id="parent", priority=3
        )
        metadata_before = dict(metadata)
        result = world.commit(change)
        metadata["tenant"] = "changed by the caller"
        assert result.outcome is CommitOutcome.APPLIED
        assert (result.state, result.at) == (RunState.INITIATED, world.clock.now())
        record = world.run(change.run_id)
        assert record.payload == payload
        assert (record.workflow, record.foreign_id, record.status) == ("orders", "order-ü", "created")
        assert (record.state, record.version, record.visit) == (RunState.INITIATED, 1, 1)
        assert record.created_at == record.updated_at == world.clock.now()
        assert dict(record.metadata) == metadata_before
        assert (record.tags, record.parent_run_id, record.priority) == (("rot", "grün"), "parent", 3)
        assert record.change_id == change.change_id

    def test_what_was_answered_cannot_change_what_is_stored(self, world: World) -> None:
        record = world.started("order-1", metadata={"tenant": "blue"})
        claimed = world.claim_one(world.owner()).run
        latest = world.store.latest(NAMESPACE, "orders", "order-1")
        for answer in (record, claimed, latest):
            assert answer is not None
            metadata: Any = answer.metadata
            with suppress(TypeError):
                metadata["tenant"] = "red"
        assert dict(world.run(record.run_id).metadata) == {"tenant": "blue"}

    def test_times_are_kept_to_the_microsecond(self, world: World) -> None:
        world.clock.advance(timedelta(microseconds=123457))
        record = world.started()
        assert record.created_at == world.clock.now()
        assert record.created_at.microsecond == 123457

    @pytest.mark.parametrize("data", [b"", b"\0", b"\0" * 1024 * 1024, bytes(range(256)) * 16])
    def test_any_bytes_can_be_an_object(self, world: World, data: bytes) -> None:
        assert world.started(payload=Payload(data)).payload == Payload(data)

    def test_a_run_may_have_no_object(self, world: World) -> None:
        assert world.started(payload=None).payload is None

    def test_unknown_runs_are_missing_from_the_answer(self, world: World) -> None:
        record = world.started()
        assert list(world.store.lookup(["nobody", record.run_id])) == [record.run_id]
        assert world.store.lookup([]) == {}
        assert world.store.latest(NAMESPACE, "orders", "nobody") is None
        assert list(world.store.history("nobody")) == []

    def test_one_unfinished_run_per_foreign_id(self, world: World) -> None:
        first = world.started("order-1")
        second = world.start("order-1")
        result = world.commit(second)
        assert (result.outcome, result.refusal, result.run_id) == (CommitOutcome.REFUSED, Refusal.IN_PROGRESS, first.run_id)
        assert world.store.lookup([second.run_id]) == {}
        assert list(world.store.history(second.run_id)) == []
        assert list(world.store.rows([second.run_id])) == []

    def test_a_paused_run_is_unfinished_too_and_a_finished_one_frees_its_foreign_id(self, world: World) -> None:
        first = world.started("order-1")
        world.commit(world.stop(first, RunState.PAUSED))
        assert world.commit(world.start("order-1")).refusal is Refusal.IN_PROGRESS
        world.commit(world.stop(world.run(first.run_id), RunState.CANCELLED))
        assert world.commit(world.start("order-1")).applied

    def test_two_starts_of_one_foreign_id_in_one_commit_start_one_run(self, world: World) -> None:
        changes = [world.start("order-1"), world.start("order-1"), world.start("order-2")]
        results = world.store.commit(changes)
        assert [result.applied for result in results] == [True, False, True]
        assert results[1].run_id == changes[0].run_id

    def test_foreign_ids_that_differ_only_in_case_or_spaces_are_different(self, world: World) -> None:
        names = ["order", "ORDER", "order ", " order", "ordér", "order\t"]
        results = world.store.commit([world.start(name) for name in names])
        assert all(result.applied for result in results)
        for name in names:
            latest = world.store.latest(NAMESPACE, "orders", name)
            assert latest is not None
            assert latest.foreign_id == name

    def test_the_same_foreign_id_in_another_workflow_or_namespace_is_another_run(self, world: World) -> None:
        results = world.store.commit(
            [world.start("order-1"), world.start("order-1", workflow="refunds"), world.start("order-1", namespace="other")]
        )
        assert all(result.applied for result in results)

    def test_starting_again_with_the_same_change_is_known(self, world: World) -> None:
        change = world.start()
        world.commit(change)
        result = world.commit(change)
        assert result.outcome is CommitOutcome.ALREADY_APPLIED
        assert result.state is RunState.INITIATED
        assert len(world.store.history(change.run_id)) == 1

    def test_latest_is_the_unfinished_run_else_the_one_created_last(self, world: World) -> None:
        first = world.started("order-1")
        world.commit(world.stop(first, RunState.CANCELLED))
        world.clock.advance(SECOND)
        second = world.started("order-1")
        latest = world.store.latest(NAMESPACE, "orders", "order-1")
        assert latest is not None
        assert latest.run_id == second.run_id
        world.commit(world.stop(second, RunState.COMPLETED))
        world.clock.advance(SECOND)
        cancelled = world.run(first.run_id)
        world.commit(world.stop(cancelled, RunState.REQUESTED_DATA_DELETED))
        latest = world.store.latest(NAMESPACE, "orders", "order-1")
        assert latest is not None
        assert latest.run_id == second.run_id

    def test_a_move_changes_status_object_and_row_together(self, world: World) -> None:
        record = world.started()
        world.clock.advance(SECOND)
        change = world.move(record, "paid", payload=Payload(b"new"))
        result = world.commit(change)
        assert (result.outcome, result.state, result.at) == (CommitOutcome.APPLIED, RunState.RUNNING, world.clock.now())
        after = world.run(record.run_id)
        assert (after.status, after.state, after.version, after.visit) == ("paid", RunState.RUNNING, 2, 2)
        assert after.payload == Payload(b"new")
        assert (after.created_at, after.updated_at) == (record.created_at, world.clock.now())
        assert after.change_id == change.change_id
        (row,) = world.store.rows([record.run_id])
        assert (row.topic, row.version, row.visit, row.kind) == ("orders/paid", 2, 2, RowKind.STEP)

    def test_a_move_without_object_keeps_the_stored_one(self, world: World) -> None:
        record = world.started()
        world.commit(world.move(record, "paid"))
        assert world.run(record.run_id).payload == record.payload

    def test_a_repeat_is_no_new_visit(self, world: World) -> None:
        record = world.started()
        world.commit(world.move(record))
        assert (world.run(record.run_id).version, world.run(record.run_id).visit) == (2, 1)

    def test_the_piece_of_work_outlives_pause_and_resume_and_ends_with_a_transition_or_a_repeat(self, world: World) -> None:
        record = world.started()
        assert record.task_version == 1
        world.commit(world.stop(record, RunState.PAUSED))
        world.commit(world.move(world.run(record.run_id)))
        assert (world.run(record.run_id).version, world.run(record.run_id).task_version) == (3, 1)
        world.commit(world.move(world.run(record.run_id), new_task=True))
        assert world.run(record.run_id).task_version == 4
        world.commit(world.move(world.run(record.run_id), "paid", new_task=True))
        assert world.run(record.run_id).task_version == 5

    def test_a_move_from_an_older_version_is_lost_and_leaves_nothing(self, world: World) -> None:
        record = world.started()
        world.commit(world.move(record, "paid"))
        late = world.move(record, "shipped", payload=Payload(b"late"))
        result = world.commit(late)
        assert result.outcome is CommitOutcome.LOST
        after = world.run(record.run_id)
        assert (after.status, after.version, after.payload) == ("paid", 2, record.payload)
        assert [row.version for row in world.store.history(record.run_id)] == [1, 2]
        (row,) = world.store.rows([record.run_id])
        assert row.topic == "orders/paid"

    def test_a_move_from_a_version_that_does_not_exist_yet_is_lost(self, world: World) -> None:
        record = world.started()
        assert world.commit(world.move(record, "paid", version=5)).outcome is CommitOutcome.LOST

    def test_moving_again_with_the_same_change_is_known(self, world: World) -> None:
        record = world.started()
        change = world.move(record, "paid")
        world.commit(change)
        again = world.commit(change)
        assert (again.outcome, again.state) == (CommitOutcome.ALREADY_APPLIED, RunState.RUNNING)
        world.commit(world.move(world.run(record.run_id), "shipped"))
        assert world.commit(change).outcome is CommitOutcome.ALREADY_APPLIED
        assert [row.version for row in world.store.history(record.run_id)] == [1, 2, 3]

    def test_moving_an_unknown_run_is_refused(self, world: World) -> None:
        record = world.started()
        result = world.commit(world.move(record, "paid", run_id="nobody"))
        assert (result.outcome, result.refusal) == (CommitOutcome.REFUSED, Refusal.NOT_FOUND)

    def test_a_finished_run_takes_no_step_any_more(self, world: World) -> None:
        record = world.started()
        world.commit(world.stop(record, RunState.CANCELLED))
        done = world.run(record.run_id)
        result = world.commit(world.move(done, "paid"))
        assert (result.outcome, result.refusal) == (CommitOutcome.REFUSED, Refusal.FINISHED)
        assert world.run(record.run_id) == done

    def test_finishing_removes_the_step_row_and_the_timeouts_and_keeps_other_side_rows(self, world: World) -> None:
        record = world.started()
        sides = (
            NewRow(row_id=f"{record.run_id}/t", topic="orders/t", kind=RowKind.TIMEOUT, delay=SECOND),
            NewRow(row_id=f"{record.run_id}/h", topic="orders/h", kind=RowKind.HOOK, receiver="mail"),
        )
        world.commit(world.move(record, "paid", side_rows=sides))
        assert len(world.store.rows([record.run_id])) == 3
        world.commit(world.stop(world.run(record.run_id), RunState.COMPLETED))
        (left,) = world.store.rows([record.run_id])
        assert (left.kind, left.receiver) == (RowKind.HOOK, "mail")

    def test_a_new_visit_removes_the_timeouts_of_the_earlier_one(self, world: World) -> None:
        record = world.started()
        first = NewRow(row_id=f"{record.run_id}/1", topic="orders/t", kind=RowKind.TIMEOUT, delay=SECOND)
        second = NewRow(row_id=f"{record.run_id}/2", topic="orders/t", kind=RowKind.TIMEOUT, delay=SECOND)
        world.commit(world.move(record, "paid", side_rows=(first,)))
        world.commit(world.move(world.run(record.run_id)))
        assert f"{record.run_id}/1" in [row.row_id for row in world.store.rows([record.run_id])], "a repeat keeps them"
        world.commit(world.move(world.run(record.run_id), "shipped", side_rows=(second,)))
        timeouts = [row.row_id for row in world.store.rows([record.run_id]) if row.kind is RowKind.TIMEOUT]
        assert timeouts == [f"{record.run_id}/2"]

    def test_a_move_settles_the_side_row_that_asked_for_it(self, world: World) -> None:
        record = world.started()
        hook = NewRow(row_id=f"{record.run_id}/h", topic="orders/h", kind=RowKind.HOOK)
        world.commit(world.move(record, "paid", side_rows=(hook,)))
        world.commit(world.move(world.run(record.run_id), settle=hook.row_id))
        assert [row.row_id for row in world.store.rows([record.run_id])] == [record.run_id]

    def test_a_lost_move_settles_nothing(self, world: World) -> None:
        record = world.started()
        hook = NewRow(row_id=f"{record.run_id}/h", topic="orders/h", kind=RowKind.HOOK)
        world.commit(world.move(record, "paid", side_rows=(hook,)))
        assert world.commit(world.move(record, settle=hook.row_id)).outcome is CommitOutcome.LOST
        assert len(world.store.rows([record.run_id])) == 2

    def test_history_is_gapless_and_says_what_made_each_version(self, world: World) -> None:
        record = world.started()
        world.clock.advance(SECOND)
        origin = Origin(Cause.STEP, name="charge", actor="worker-1", attempt=3)
        world.commit(world.move(record, "paid", origin=origin))
        error = Origin(Cause.ERRORS, name="ship", actor="worker-2", reason="failed 10 times", attempt=10, error="ValueError: no")
        world.commit(world.move(world.run(record.run_id), to_state=RunState.PAUSED, origin=error, row=None))
        rows = world.store.history(record.run_id)
        assert [row.version for row in rows] == [1, 2, 3]
        assert [(row.from_status, row.to_status) for row in rows] == [(None, "created"), ("created", "paid"), ("paid", "paid")]
        assert [(row.from_state, row.to_state) for row in rows] == [
            (RunState.UNKNOWN, RunState.INITIATED),
            (RunState.INITIATED, RunState.RUNNING),
            (RunState.RUNNING, RunState.PAUSED),
        ]
        assert [(row.cause, row.name, row.actor, row.attempt) for row in rows] == [
            (Cause.TRIGGER, "", "tester", 1),
            (Cause.STEP, "charge", "worker-1", 3),
            (Cause.ERRORS, "ship", "worker-2", 10),
        ]
        assert (rows[2].reason, rows[2].error) == ("failed 10 times", "ValueError: no")
        assert rows[0].at == record.created_at
        assert rows[1].at == record.created_at + SECOND
        paused = world.run(record.run_id)
        assert (paused.reason, paused.actor, paused.last_error) == ("failed 10 times", "worker-2", "ValueError: no")

    def test_reason_actor_and_error_are_gone_after_a_resume(self, world: World) -> None:
        record = world.started()
        world.commit(world.stop(record, RunState.PAUSED))
        world.commit(world.move(world.run(record.run_id), auto_resumes=2, origin=Origin(Cause.AUTO_RESUME, reason="again")))
        after = world.run(record.run_id)
        assert (after.reason, after.actor, after.last_error, after.auto_resumes) == (None, None, None, 2)

    def test_several_changes_of_one_run_in_one_commit_apply_in_order(self, world: World) -> None:
        start = world.start()
        world.commit(start)
        record = world.run(start.run_id)
        first = world.move(record, "paid")
        second = world.move(record, "shipped", version=2, from_status="paid", from_state=RunState.RUNNING)
        results = world.store.commit([first, second])
        assert [result.outcome for result in results] == [CommitOutcome.APPLIED] * 2
        assert world.run(record.run_id).status == "shipped"
        assert [row.version for row in world.store.history(record.run_id)] == [1, 2, 3]

    def test_a_commit_of_nothing_answers_nothing(self, world: World) -> None:
        assert list(world.store.commit([])) == []

    def test_a_large_group_is_applied_and_answered_in_order(self, world: World) -> None:
        starts = [world.start() for _ in range(300)]
        assert all(result.applied for result in world.store.commit(starts))
        records = world.store.lookup([change.run_id for change in starts])
        moves = [world.move(records[change.run_id], "paid") for change in starts]
        moves[7] = world.move(records[starts[7].run_id], "paid", version=9)
        results = world.store.commit(moves)
        assert [index for index, result in enumerate(results) if not result.applied] == [7]

    @pytest.mark.parametrize("foreign_id", ["x" * 10_000, "nul\0", "lone \ud800 surrogate"])
    def test_data_that_no_store_can_hold_is_refused_alone(self, world: World, foreign_id: str) -> None:
        changes = [world.start(), world.start(foreign_id), world.start()]
        results = world.store.commit(changes)
        assert [result.applied for result in results] == [True, False, True]
        assert results[1].refusal is Refusal.BAD_DATA
        assert results[1].detail
        assert changes[1].run_id not in world.store.lookup([change.run_id for change in changes])

    def test_a_bad_failure_text_does_not_fail_its_group(self, world: World) -> None:
        owner = world.owner()
        record = world.started()
        claimed = world.claim_one(owner)
        bad = FailRow(
            change_id=world.new_id(), row_id=record.run_id, owner=owner, delivery=claimed.row.delivery, error="\0", delay=SECOND
        )
        results = world.store.commit([bad, world.start()])
        assert results[0].refusal is Refusal.BAD_DATA
        assert results[1].applied
