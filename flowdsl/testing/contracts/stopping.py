"""Stopping a run beside functions that may move it: its step, a timeout, a kept callback."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from flowdsl.model.change import (
    Change,
    CommitOutcome,
    CommitResult,
    DropRow,
    FailRow,
    ParkRow,
    Refusal,
    ReleaseRow,
    RequestControl,
)
from flowdsl.model.pending import ClaimedRow, NewRow, RowKind, TopicQuota
from flowdsl.model.record import ControlRequest, RunRecord
from flowdsl.model.run_state import RunState
from flowdsl.ports.record_store import RecordStore
from flowdsl.testing.contracts.beside import kept
from flowdsl.testing.contracts.samples import NAMESPACE, World

TOPIC = "orders/beside"
HOUR = timedelta(hours=1)
STOPS = (RunState.PAUSED, RunState.CANCELLED)
BESIDE = (RowKind.TIMEOUT, RowKind.CALLBACK)
stops = pytest.mark.parametrize("state", STOPS)
beside = pytest.mark.parametrize("kind", BESIDE)


class StoppingRules:
    """`unless_moving` and `RequestControl`: nothing that was claimed is stopped before its commit."""

    @beside
    @stops
    def test_a_run_is_not_stopped_past_a_timeout_or_callback_in_somebodys_hands(
        self, world: World, kind: RowKind, state: RunState
    ) -> None:
        record, _ = _claimed_beside(world, kind)

        result = world.commit(world.stop(record, state, unless_moving=True))

        assert (result.outcome, result.refusal) == (CommitOutcome.REFUSED, Refusal.CLAIMED)
        assert world.run(record.run_id) == record

    @stops
    def test_a_run_is_not_stopped_past_its_step_either(self, world: World, state: RunState) -> None:
        record = world.started()
        world.claim_one(world.owner())

        assert world.commit(world.stop(record, state, unless_moving=True)).refusal is Refusal.CLAIMED

    @beside
    def test_who_asks_about_the_step_alone_is_not_kept_from_it_by_what_stands_beside(self, world: World, kind: RowKind) -> None:
        record, _ = _claimed_beside(world, kind)

        assert world.commit(world.stop(record, RunState.PAUSED, unless_claimed=True)).applied

    @pytest.mark.parametrize("kind", [*BESIDE, RowKind.HOOK])
    @stops
    def test_what_nobody_holds_does_not_keep_a_run_from_being_stopped(self, world: World, kind: RowKind, state: RunState) -> None:
        record = _with_row(world, kind)

        assert world.commit(world.stop(record, state, unless_moving=True)).applied
        assert world.run(record.run_id).state is state

    @stops
    def test_a_hook_that_is_being_told_does_not_keep_a_run_from_being_stopped(self, world: World, state: RunState) -> None:
        record, _ = _claimed_beside(world, RowKind.HOOK)

        assert _request(world, record, state).refusal is Refusal.NOT_CLAIMED
        assert world.commit(world.stop(record, state, unless_moving=True)).applied

    def test_of_several_stops_in_one_commit_each_has_its_own_answer(self, world: World) -> None:
        busy, _ = _claimed_beside(world, RowKind.TIMEOUT)
        idle = _with_row(world, RowKind.TIMEOUT)
        working = world.started()
        world.claim_one(world.owner())

        stopped = [world.stop(record, RunState.PAUSED, unless_moving=True) for record in (busy, idle, working)]
        results = world.store.commit(stopped)

        assert [result.refusal for result in results] == [Refusal.CLAIMED, None, Refusal.CLAIMED]
        assert [world.run(record.run_id).state for record in (busy, idle)] == [RunState.RUNNING, RunState.PAUSED]

    def test_stops_that_go_together_wait_for_each_other(self, world: World) -> None:
        busy, _ = _claimed_beside(world, RowKind.TIMEOUT)
        idle = _with_row(world, RowKind.TIMEOUT)

        stopped = [world.stop(record, RunState.PAUSED, unless_moving=True) for record in (idle, busy)]
        results = world.store.commit_together(stopped)

        assert results[1].refusal is Refusal.CLAIMED
        assert not results[0].applied
        assert world.run(idle.run_id) == idle

    @beside
    @stops
    def test_a_request_waits_for_a_timeout_or_callback_and_is_applied_with_what_that_commits(
        self, world: World, kind: RowKind, state: RunState
    ) -> None:
        record, claimed = _claimed_beside(world, kind)

        assert _request(world, record, state).applied
        waiting = world.run(record.run_id)
        assert waiting.requested is not None
        assert (waiting.requested.state, waiting.version, waiting.state) == (state, record.version, RunState.RUNNING)

        assert world.commit(world.move(record, "shipped", settle=claimed.row.row_id)).state is state
        after = world.run(record.run_id)
        assert (after.status, after.state, after.requested, after.reason) == ("shipped", state, None, "wait")

    @beside
    @pytest.mark.parametrize("how", ["fail", "release", "park", "drop"])
    def test_whoever_gives_the_row_up_is_told_of_the_request(self, world: World, kind: RowKind, how: str) -> None:
        record, claimed = _claimed_beside(world, kind)
        _request(world, record, RunState.CANCELLED)

        result = world.commit(_given_up(world, claimed, how))

        assert result.applied
        assert result.requested == ControlRequest(RunState.CANCELLED, "wait", "ada")
        assert _request(world, record, RunState.PAUSED).refusal is Refusal.NOT_CLAIMED
        assert world.commit(world.stop(record, RunState.CANCELLED, unless_moving=True)).applied

    @pytest.mark.parametrize("kind", [RowKind.STEP, *BESIDE])
    @pytest.mark.parametrize("how", ["park", "drop"])
    def test_who_asks_for_it_keeps_the_claim_while_a_request_waits(self, world: World, kind: RowKind, how: str) -> None:
        record, claimed = _claimed_step(world) if kind is RowKind.STEP else _claimed_beside(world, kind)
        _request(world, record, RunState.CANCELLED)

        result = world.commit(_given_up(world, claimed, how, unless_requested=True))

        assert (result.outcome, result.refusal) == (CommitOutcome.REFUSED, Refusal.REQUESTED)
        assert result.requested == ControlRequest(RunState.CANCELLED, "wait", "ada")
        assert world.commit(_given_up(world, claimed, how)).applied

    @pytest.mark.parametrize("kind", [RowKind.STEP, *BESIDE])
    @pytest.mark.parametrize("how", ["park", "drop"])
    def test_and_gives_it_up_while_none_does(self, world: World, kind: RowKind, how: str) -> None:
        record, claimed = _claimed_step(world) if kind is RowKind.STEP else _claimed_beside(world, kind)

        assert world.commit(_given_up(world, claimed, how, unless_requested=True)).applied
        assert _request(world, record, RunState.PAUSED).refusal is Refusal.NOT_CLAIMED

    @beside
    def test_a_failed_one_is_due_at_once_for_whoever_applies_the_request(self, world: World, kind: RowKind) -> None:
        record, claimed = _claimed_beside(world, kind)
        _request(world, record, RunState.PAUSED)
        world.commit(_given_up(world, claimed, "fail"))

        again = world.claim_one(world.owner(), TOPIC)

        assert again.run is not None
        assert again.run.requested is not None

    def test_a_hook_that_fails_beside_it_waits_as_ever(self, world: World) -> None:
        record, claimed = _claimed_beside(world, RowKind.HOOK)
        step = world.commit(world.move(record))
        assert step.applied
        world.claim_one(world.owner(), "orders/paid")
        assert _request(world, world.run(record.run_id), RunState.PAUSED).applied

        world.commit(_given_up(world, claimed, "fail"))

        assert world.claim(world.owner(), TOPIC) == []

    def test_a_pause_never_falls_between_a_claim_and_the_commit_of_a_timeout(
        self, world: World, store_factory: Callable[[], RecordStore]
    ) -> None:
        lost: list[str] = []
        for _ in range(15):
            record, owner = _with_row(world, RowKind.TIMEOUT), world.owner()
            gate = threading.Barrier(2)

            def expire(owner: str = owner, gate: threading.Barrier = gate) -> None:
                store = store_factory()
                try:
                    gate.wait()
                    for one in store.claim(NAMESPACE, owner, [TopicQuota(TOPIC, 1)]):
                        assert one.run is not None
                        (result,) = store.commit([world.move(one.run, "expired", row=None, settle=one.row.row_id)])
                        if not result.applied:
                            lost.append(one.run.run_id)
                finally:
                    store.close()

            def pause(record: RunRecord = record, gate: threading.Barrier = gate) -> None:
                store = store_factory()
                try:
                    gate.wait()
                    store.commit([world.stop(record, RunState.PAUSED, unless_moving=True)])
                finally:
                    store.close()

            with ThreadPoolExecutor(2) as pool:
                expired, paused = pool.submit(expire), pool.submit(pause)
                expired.result()
                paused.result()
        assert lost == [], "a timeout that was claimed could not commit"


def _with_row(world: World, kind: RowKind) -> RunRecord:
    """A run whose status nothing consumes, with a row of the kind beside it, which is due."""
    record = world.started()
    row = NewRow(row_id=world.new_id("beside"), topic=TOPIC, kind=kind, receiver="paid")
    came_early = kind is RowKind.CALLBACK
    if came_early:
        assert world.commit(kept(world, record, row=row)).applied
    assert world.commit(world.move(record, "paid", row=None, side_rows=() if came_early else (row,))).applied
    return world.run(record.run_id)


def _claimed_beside(world: World, kind: RowKind) -> tuple[RunRecord, ClaimedRow]:
    record = _with_row(world, kind)
    return record, world.claim_one(world.owner(), TOPIC)


def _claimed_step(world: World) -> tuple[RunRecord, ClaimedRow]:
    record = world.started()
    return record, world.claim_one(world.owner())


def _request(world: World, record: RunRecord, state: RunState) -> CommitResult:
    request = ControlRequest(state, "wait", "ada")
    return world.commit(RequestControl(change_id=world.new_id(), run_id=record.run_id, request=request))


def _given_up(world: World, claimed: ClaimedRow, how: str, *, unless_requested: bool = False) -> Change:
    row = claimed.row
    assert row.owner is not None
    claim: dict[str, Any] = {"change_id": world.new_id(), "row_id": row.row_id, "owner": row.owner, "delivery": row.delivery}
    match how:
        case "fail":
            return FailRow(**claim, error="no", delay=HOUR)
        case "release":
            return ReleaseRow(**claim)
        case "park":
            return ParkRow(**claim, unless_requested=unless_requested)
        case _:
            return DropRow(**claim, unless_requested=unless_requested)
