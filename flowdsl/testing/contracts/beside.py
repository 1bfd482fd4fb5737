"""Rows beside the step row: timeouts, kept callbacks, hooks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from msgspec.structs import replace

from flowdsl.model.change import AddRow, CommitOutcome, FailRow, Refusal, ReleaseRow, RequestControl
from flowdsl.model.item import NewItem
from flowdsl.model.pending import NOW, NewRow, PendingRow, RowKind
from flowdsl.model.record import ControlRequest, RunRecord
from flowdsl.model.run_state import RunState
from flowdsl.testing.contracts.samples import NAMESPACE, SECOND, World

HOOKS, CALLBACKS = "orders//hook", "orders/paid/callback"


def kept(world: World, record: RunRecord, status: str = "paid", **fields: Any) -> AddRow:
    """A callback for `status` that came early."""
    defaults: dict[str, Any] = {
        "change_id": world.new_id("change"),
        "namespace": NAMESPACE,
        "workflow": record.workflow,
        "run_id": record.run_id,
        "version": record.version,
        "row": NewRow(
            row_id=world.new_id("kept"), topic=CALLBACKS, kind=RowKind.CALLBACK, receiver=status, delay=None, payload=b"data"
        ),
    }
    return AddRow(**{**defaults, **fields})


def hook(world: World, **fields: Any) -> NewRow:
    return NewRow(row_id=world.new_id("hook"), topic=HOOKS, kind=RowKind.HOOK, receiver="tell", **fields)


class BesideRules:
    """What the store promises of rows that stand beside a run's step row."""

    def _beside(self, world: World, record: RunRecord, kind: RowKind) -> list[PendingRow]:
        return [row for row in world.store.rows([record.run_id]) if row.kind is kind]

    # -- adding ---------------------------------------------------------------------------------------------------------------

    def test_a_row_is_added_beside_a_run_that_stays_as_it_is(self, world: World) -> None:
        record = world.started()

        assert world.commit(kept(world, record)).outcome is CommitOutcome.APPLIED

        (row,) = self._beside(world, record, RowKind.CALLBACK)
        assert (row.due_at, row.payload, row.receiver, row.version) == (None, b"data", "paid", record.version)
        assert world.run(record.run_id) == record

    def test_a_row_is_not_added_to_a_run_of_another_version_or_one_that_has_ended_or_is_not_there(self, world: World) -> None:
        record = world.started()
        late, missing = kept(world, record), kept(world, record, run_id="nobody")
        world.commit(world.move(record, "paid"))
        assert world.commit(late).outcome is CommitOutcome.LOST
        world.commit(world.stop(world.run(record.run_id), RunState.CANCELLED))

        assert world.commit(kept(world, world.run(record.run_id))).refusal is Refusal.FINISHED
        assert world.commit(missing).refusal is Refusal.NOT_FOUND
        assert self._beside(world, record, RowKind.CALLBACK) == []

    def test_a_row_comes_with_its_items_or_not_at_all(self, world: World) -> None:
        record = world.started()
        key = NewItem(kind="callback_key", key=world.new_id("key"), body=b"first")
        assert world.commit(kept(world, record, items=(key,))).applied

        again = world.commit(kept(world, record, items=(key,)))

        assert (again.refusal, again.item) == (Refusal.KEY_TAKEN, b"first")
        assert len(self._beside(world, record, RowKind.CALLBACK)) == 1

    def test_adding_the_same_row_twice_adds_it_once(self, world: World) -> None:
        record = world.started()
        change = kept(world, record, items=(NewItem(kind="callback_key", key=world.new_id("key")),))
        world.commit(change)

        assert world.commit(change).outcome is CommitOutcome.ALREADY_APPLIED
        assert len(self._beside(world, record, RowKind.CALLBACK)) == 1

    def test_a_row_takes_the_place_of_another(self, world: World) -> None:
        record, owner = world.started(), world.owner()
        former = kept(world, record, "no more")
        world.commit(former)
        row = replace(former.row, row_id=world.new_id("kept"), receiver="created", delay=NOW)
        change = kept(world, record, row=row, instead_of=former.row.row_id)

        assert world.commit(change).outcome is CommitOutcome.APPLIED
        assert world.commit(change).outcome is CommitOutcome.ALREADY_APPLIED

        (left,) = self._beside(world, record, RowKind.CALLBACK)
        assert (left.row_id, left.receiver, left.payload) == (row.row_id, "created", b"data")
        assert world.claim_one(owner, CALLBACKS).row.row_id == row.row_id

    def test_a_row_that_is_claimed_or_gone_or_of_another_run_keeps_its_place(self, world: World) -> None:
        record, other, owner = world.started(), world.started(), world.owner()
        former = kept(world, record)
        world.commit(former)
        world.commit(world.move(record, "paid"))
        claimed = world.claim_one(owner, CALLBACKS).row
        moved = world.run(record.run_id)
        stranger = kept(world, other)
        world.commit(stranger)

        for instead_of in (claimed.row_id, "gone", stranger.row.row_id):
            assert world.commit(kept(world, moved, instead_of=instead_of)).outcome is CommitOutcome.LOST

        assert [row.row_id for row in self._beside(world, record, RowKind.CALLBACK)] == [claimed.row_id]
        assert [row.row_id for row in self._beside(world, other, RowKind.CALLBACK)] == [stranger.row.row_id]

    # -- kept callbacks ---------------------------------------------------------------------------------------------------------

    def test_a_kept_callback_is_due_when_the_run_enters_its_status(self, world: World) -> None:
        record, owner = world.started(), world.owner()
        world.commit(kept(world, record))
        assert world.claim(owner, CALLBACKS) == []

        world.commit(world.move(record, "paid"))

        assert world.claim_one(owner, CALLBACKS).row.payload == b"data"

    def test_a_kept_callback_of_another_status_waits_on_and_one_that_was_left_waits_again(self, world: World) -> None:
        record, owner = world.started(), world.owner()
        world.commit(kept(world, record, "shipped"))
        world.commit(world.move(record, "paid"))
        assert world.claim(owner, CALLBACKS) == []

        world.commit(world.move(world.run(record.run_id), "shipped"))
        claimed = world.claim_one(owner, CALLBACKS)
        world.commit(world.move(world.run(record.run_id), "paid"))

        (row,) = self._beside(world, record, RowKind.CALLBACK)
        assert (row.due_at, row.owner) == (None, None)
        release = ReleaseRow(change_id=world.new_id("change"), row_id=row.row_id, owner=owner, delivery=claimed.row.delivery)
        assert world.commit(release).outcome is CommitOutcome.LOST

    def test_a_kept_callback_that_waits_again_forgets_its_failures(self, world: World) -> None:
        record, owner = world.started(), world.owner()
        world.commit(kept(world, record))
        world.commit(world.move(record, "paid"))
        row = world.claim_one(owner, CALLBACKS).row
        claim: Any = {"row_id": row.row_id, "owner": owner, "delivery": row.delivery}
        world.commit(FailRow(change_id=world.new_id("change"), **claim, error="no luck", delay=SECOND))

        for status in ("shipped", "paid"):
            world.commit(world.move(world.run(record.run_id), status))

        again = world.claim_one(owner, CALLBACKS).row
        assert (again.attempts, again.delivery) == (0, 2)

    def test_a_kept_callback_of_a_paused_run_waits_until_it_is_resumed(self, world: World) -> None:
        record, owner = world.started(), world.owner()
        world.commit(kept(world, record))
        world.commit(world.move(record, "paid"))
        world.commit(world.stop(world.run(record.run_id), RunState.PAUSED))
        assert world.claim(owner, CALLBACKS) == []

        world.commit(world.move(world.run(record.run_id)))

        assert len(world.claim(owner, CALLBACKS)) == 1

    def test_what_a_pause_suspended_waits_on_when_the_run_is_paused_again(self, world: World) -> None:
        record, owner = world.started(), world.owner()
        world.commit(kept(world, record))
        world.commit(world.move(record, "paid"))
        for _ in range(2):
            world.commit(world.stop(world.run(record.run_id), RunState.PAUSED))
            assert world.claim(owner, CALLBACKS) == []

    def test_a_callback_that_is_kept_for_a_paused_run_waits_until_it_is_resumed(self, world: World) -> None:
        record, owner = world.started(), world.owner()
        world.commit(world.stop(record, RunState.PAUSED))
        paused = world.run(record.run_id)
        row = NewRow(row_id=world.new_id("kept"), topic=CALLBACKS, kind=RowKind.CALLBACK, receiver="created")
        world.commit(kept(world, paused, row=row))
        assert world.claim(owner, CALLBACKS) == []

        world.commit(world.move(paused))

        assert len(world.claim(owner, CALLBACKS)) == 1

    def test_a_kept_callback_outlives_its_run_so_that_somebody_hears_of_it(self, world: World) -> None:
        record, owner = world.started(), world.owner()
        world.commit(kept(world, record))

        world.commit(world.stop(record, RunState.CANCELLED))

        claimed = world.claim_one(owner, CALLBACKS)
        assert claimed.run is not None
        assert claimed.run.state is RunState.CANCELLED

    def test_a_move_settles_the_kept_callback_that_asked_for_it(self, world: World) -> None:
        record, owner = world.started(), world.owner()
        world.commit(kept(world, record))
        world.commit(world.move(record, "paid"))
        row = world.claim_one(owner, CALLBACKS).row

        world.commit(world.move(world.run(record.run_id), "shipped", settle=row.row_id))

        assert self._beside(world, record, RowKind.CALLBACK) == []

    # -- rows for a state -------------------------------------------------------------------------------------------------------

    def test_a_row_for_a_state_is_added_only_in_that_state(self, world: World) -> None:
        record, owner = world.started(), world.owner()
        rows = (hook(world, only_in=RunState.PAUSED), hook(world, only_in=RunState.RUNNING), hook(world))

        world.commit(world.move(record, "paid", side_rows=rows))

        assert {entry.row.row_id for entry in world.claim(owner, HOOKS)} == {rows[1].row_id, rows[2].row_id}

    def test_a_waiting_request_decides_which_rows_for_a_state_are_added(self, world: World) -> None:
        record, owner = world.started(), world.owner()
        world.claim_one(owner)
        request = ControlRequest(RunState.PAUSED, "stop", "ada")
        world.commit(RequestControl(change_id=world.new_id("change"), run_id=record.run_id, request=request))
        rows = (hook(world, only_in=RunState.PAUSED), hook(world, only_in=RunState.RUNNING))

        world.commit(world.move(world.run(record.run_id), "paid", side_rows=rows))

        assert [entry.row.row_id for entry in world.claim(owner, HOOKS)] == [rows[0].row_id]

    def test_a_failed_attempt_brings_the_rows_that_want_to_know_of_it(self, world: World) -> None:
        record, owner = world.started(), world.owner()
        row = world.claim_one(owner).row
        fail = FailRow(
            change_id=world.new_id("change"),
            row_id=row.row_id,
            owner=owner,
            delivery=row.delivery,
            error="no luck",
            delay=SECOND,
            side_rows=(hook(world, payload=b"why"),),
        )

        assert world.commit(fail).outcome is CommitOutcome.APPLIED
        assert world.commit(fail).outcome in (CommitOutcome.ALREADY_APPLIED, CommitOutcome.LOST)

        (told,) = world.claim(owner, HOOKS)
        assert (told.row.payload, told.row.run_id) == (b"why", record.run_id)

    def test_a_waiting_request_hastens_no_row_but_the_step_row(self, world: World) -> None:
        record, owner = world.started(side_rows=(hook(world),)), world.owner()
        told = world.claim_one(owner, HOOKS).row
        world.claim_one(owner)
        request = ControlRequest(RunState.PAUSED, "stop", "ada")
        world.commit(RequestControl(change_id=world.new_id("change"), run_id=record.run_id, request=request))
        claim: Any = {"row_id": told.row_id, "owner": owner, "delivery": told.delivery}
        world.commit(FailRow(change_id=world.new_id("change"), **claim, error="no luck", delay=SECOND))
        assert world.claim(owner, HOOKS) == []

        world.clock.advance(SECOND)

        assert len(world.claim(owner, HOOKS)) == 1

    def test_a_row_given_back_may_be_due_later(self, world: World) -> None:
        world.started()
        owner = world.owner()
        row = world.claim_one(owner).row
        world.commit(
            ReleaseRow(
                change_id=world.new_id("change"),
                row_id=row.row_id,
                owner=owner,
                delivery=row.delivery,
                delay=timedelta(seconds=5),
            )
        )
        assert world.claim(owner) == []

        world.clock.advance(timedelta(seconds=5))

        again = world.claim_one(owner).row
        assert (again.delivery, again.attempts) == (2, 0)

    def test_in_one_commit_too_the_claim_of_a_row_beside_is_void_once_its_run_has_moved(self, world: World) -> None:
        record, owner = world.started(), world.owner()
        timer = NewRow(row_id=world.new_id("timer"), topic="orders/t", kind=RowKind.TIMEOUT)
        world.commit(world.move(record, "paid", side_rows=(timer,)))
        claimed = world.claim_one(owner, "orders/t").row
        pause = world.stop(world.run(record.run_id), RunState.PAUSED)

        paused, late = world.store.commit([pause, self._failing(world, claimed)])

        assert (paused.outcome, late.outcome) == (CommitOutcome.APPLIED, CommitOutcome.LOST)
        assert world.claim(owner, "orders/t") == []
        assert self._beside(world, record, RowKind.TIMEOUT)[0].due_at is None

    def test_in_one_commit_too_a_row_beside_that_fails_and_then_is_suspended_keeps_its_wait(self, world: World) -> None:
        record, owner = world.started(), world.owner()
        timer = NewRow(row_id=world.new_id("timer"), topic="orders/t", kind=RowKind.TIMEOUT)
        world.commit(world.move(record, "paid", side_rows=(timer,)))
        claimed = world.claim_one(owner, "orders/t").row
        pause = world.stop(world.run(record.run_id), RunState.PAUSED)

        failed, paused = world.store.commit([self._failing(world, claimed), pause])

        assert (failed.outcome, paused.outcome) == (CommitOutcome.APPLIED, CommitOutcome.APPLIED)
        world.clock.advance(timedelta(hours=1))
        owner = world.owner()
        assert world.claim(owner, "orders/t") == []
        world.commit(world.move(world.run(record.run_id)))
        assert world.claim(owner, "orders/t") == []
        world.clock.advance(SECOND)
        assert len(world.claim(owner, "orders/t")) == 1

    def _failing(self, world: World, row: PendingRow) -> FailRow:
        return FailRow(
            change_id=world.new_id("change"),
            row_id=row.row_id,
            owner=row.owner or "",
            delivery=row.delivery,
            error="no luck",
            delay=SECOND,
        )

    # -- timers that are missing ------------------------------------------------------------------------------------------------

    def test_runs_without_a_timeout_are_found(self, world: World) -> None:
        bare, timed, elsewhere, paused = (world.started() for _ in range(4))
        timer = NewRow(row_id=world.new_id("timer"), topic="orders/t", kind=RowKind.TIMEOUT, delay=None)
        world.commit(world.move(timed, "paid", side_rows=(timer,)))
        world.commit(world.move(elsewhere, "shipped"))
        for record in (bare, paused):
            world.commit(world.move(record, "paid", side_rows=(hook(world),)))
        world.commit(world.stop(world.run(paused.run_id), RunState.PAUSED))

        found = world.store.unattended(NAMESPACE, "orders", ["paid"], "", 10, RowKind.TIMEOUT)

        assert [record.run_id for record in found] == [bare.run_id]
        assert world.store.unattended(NAMESPACE, "orders", ["paid"], bare.run_id, 10, RowKind.TIMEOUT) == []

    def test_runs_that_lack_one_of_several_timeouts_are_found(self, world: World) -> None:
        topics = {"paid": ("orders/paid/one", "orders/paid/two"), "shipped": ("orders/shipped/three",)}

        def timers(*names: str) -> tuple[NewRow, ...]:
            return tuple(NewRow(row_id=world.new_id("timer"), topic=name, kind=RowKind.TIMEOUT, delay=None) for name in names)

        workflow = world.new_id("flow")
        complete, half, other, none, renamed, elsewhere = (world.started(workflow=workflow) for _ in range(6))
        world.commit(world.move(complete, "paid", side_rows=timers(*topics["paid"], "orders/paid/more")))
        world.commit(world.move(half, "paid", side_rows=timers("orders/paid/one")))
        world.commit(world.move(other, "shipped", side_rows=timers("orders/shipped/three")))
        world.commit(world.move(none, "paid", side_rows=(hook(world),)))
        world.commit(world.move(renamed, "shipped", side_rows=timers("orders/shipped/before")))
        world.commit(world.move(elsewhere, "packed"))

        def found(after: str = "", limit: int = 10) -> list[str]:
            asked = (NAMESPACE, workflow, ["paid", "shipped", "created"], after, limit, RowKind.TIMEOUT, topics)
            return [record.run_id for record in world.store.unattended(*asked)]

        assert found() == [half.run_id, none.run_id, renamed.run_id]
        assert (found(half.run_id), found(limit=2)) == ([none.run_id, renamed.run_id], [half.run_id, none.run_id])

    def test_a_status_whose_topics_are_not_named_is_asked_for_any_timeout(self, world: World) -> None:
        workflow = world.new_id("flow")
        bare, timed = world.started(workflow=workflow), world.started(workflow=workflow)
        timer = NewRow(row_id=world.new_id("timer"), topic="orders/t", kind=RowKind.TIMEOUT, delay=None)
        world.commit(world.move(timed, "paid", side_rows=(timer,)))
        world.commit(world.move(bare, "shipped"))
        asked = (NAMESPACE, workflow, ["paid", "shipped"], "", 10, RowKind.TIMEOUT, {"paid": ("orders/t",)})

        assert [record.run_id for record in world.store.unattended(*asked)] == [bare.run_id]
