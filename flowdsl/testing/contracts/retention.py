"""The end of a run's data: erased, or purged with the run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from msgspec.structs import replace

from flowdsl.model.change import Change, CommitOutcome, CommitResult, DropRow, FailRow
from flowdsl.model.history import Cause, Origin
from flowdsl.model.pending import PendingRow, RowKind
from flowdsl.model.record import Payload, RunRecord
from flowdsl.model.run_state import RunState
from flowdsl.ports.record_store import RecordStore
from flowdsl.testing.contracts.beside import HOOKS, hook, kept
from flowdsl.testing.contracts.samples import NAMESPACE, SECOND, World


class RetentionRules:
    """What the store promises of erasing and of purging."""

    # -- erasing ----------------------------------------------------------------------------------------------------------------

    def test_erasing_leaves_nothing_of_the_data(self, world: World) -> None:
        record = world.started(payload=Payload(b'{"name":"canary"}'))
        world.commit(kept(world, record, "shipped"))
        error = Origin(Cause.ERRORS, name="step", actor="a", reason="canary", error="canary")
        world.commit(world.move(record, to_state=RunState.PAUSED, origin=error, row=None))
        world.commit(
            world.stop(world.run(record.run_id), RunState.CANCELLED, "canary", side_rows=(hook(world, payload=b"canary"),))
        )
        world.commit(world.move(world.run(record.run_id), to_state=RunState.REQUESTED_DATA_DELETED, row=None))

        erasing = world.move(
            world.run(record.run_id),
            to_state=RunState.DATA_DELETED,
            row=None,
            erase=True,
            origin=Origin(Cause.DELETION, reason="canary", error="canary"),
        )
        assert world.commit(erasing).applied

        after = world.run(record.run_id)
        assert (after.state, after.payload, after.last_error, after.reason) == (RunState.DATA_DELETED, None, None, None)
        assert [(row.reason, row.error) for row in world.store.history(record.run_id)] == [(None, None)] * 5
        assert [(row.kind, row.payload, row.last_error) for row in world.store.rows([record.run_id])] == [
            (RowKind.HOOK, None, None)
        ]

    def test_erasing_may_leave_an_object_that_was_scrubbed(self, world: World) -> None:
        record = world.started(payload=Payload(b'{"name":"canary"}'))
        world.commit(world.stop(record, RunState.COMPLETED))
        world.commit(world.move(world.run(record.run_id), to_state=RunState.REQUESTED_DATA_DELETED, row=None))

        world.commit(
            world.move(
                world.run(record.run_id), to_state=RunState.DATA_DELETED, row=None, erase=True, payload=Payload(b'{"name":""}')
            )
        )

        assert world.run(record.run_id).payload == Payload(b'{"name":""}')

    def test_what_fails_after_the_data_was_erased_brings_none_of_it_back(self, world: World) -> None:
        record, (told,) = self._asked_to_erase(world, world.owner())
        assert world.commit(self._erasing(world, record)).applied

        assert world.commit(self._failing_again(world, told)).outcome is CommitOutcome.APPLIED

        self._nothing_is_left(world, record, attempts=1)

    def test_what_fails_in_one_commit_with_the_erasure_leaves_none_of_the_data(self, world: World) -> None:
        for fails_first in (True, False):
            record, (told,) = self._asked_to_erase(world, world.owner())
            changes = [self._erasing(world, record), self._failing_again(world, told)]
            if fails_first:
                changes.reverse()

            assert [result.outcome for result in world.store.commit(changes)] == [CommitOutcome.APPLIED] * 2

            self._nothing_is_left(world, record, attempts=1)

    def test_what_fails_while_the_data_waits_for_its_erasure_says_why(self, world: World) -> None:
        record, (told,) = self._asked_to_erase(world, world.owner())

        world.commit(self._failing_again(world, told))

        assert "canary" in {row.last_error for row in world.store.rows([record.run_id])}
        assert world.commit(self._erasing(world, record)).applied
        self._nothing_is_left(world, record, attempts=1)

    def test_what_fails_at_the_moment_of_the_erasure_leaves_none_of_the_data(
        self, world: World, store_factory: Callable[[], RecordStore]
    ) -> None:
        stores = [store_factory() for _ in range(2)]
        try:
            with ThreadPoolExecutor(2) as pool:
                for _ in range(25):
                    record, (told,) = self._asked_to_erase(world, world.owner())
                    gate = threading.Barrier(2)

                    def commit(store: RecordStore, change: Change, gate: threading.Barrier = gate) -> CommitResult:
                        gate.wait(timeout=10)
                        return store.commit([change])[0]

                    changes = [self._erasing(world, record), self._failing_again(world, told)]
                    for done in [pool.submit(commit, *pair) for pair in zip(stores, changes, strict=True)]:
                        assert done.result(timeout=60).applied
                    self._nothing_is_left(world, record, attempts=1)
        finally:
            for store in stores:
                store.close()

    def _asked_to_erase(self, world: World, owner: str) -> tuple[RunRecord, list[PendingRow]]:
        """A run whose data is to go, and the row of a hook that is being told of it."""
        record = world.started(payload=Payload(b'{"name":"canary"}'))
        world.commit(world.stop(record, RunState.COMPLETED, side_rows=(hook(world, payload=b"canary"),)))
        world.commit(world.move(world.run(record.run_id), to_state=RunState.REQUESTED_DATA_DELETED, row=None))
        return world.run(record.run_id), [world.claim_one(owner, HOOKS).row]

    def _erasing(self, world: World, record: RunRecord) -> Change:
        return world.move(record, to_state=RunState.DATA_DELETED, row=None, erase=True)

    def _failing_again(self, world: World, row: PendingRow) -> Change:
        return FailRow(
            change_id=world.new_id("change"),
            row_id=row.row_id,
            owner=row.owner or "",
            delivery=row.delivery,
            error="canary",
            delay=timedelta(hours=1),
            side_rows=(hook(world, payload=b"canary", delay=timedelta(hours=1)),),
        )

    def _nothing_is_left(self, world: World, record: RunRecord, attempts: int) -> None:
        rows = world.store.rows([record.run_id])
        assert sorted((row.attempts, row.last_error, row.payload) for row in rows) == [(0, None, None), (attempts, None, None)]
        assert world.run(record.run_id).payload is None

    # -- purging ----------------------------------------------------------------------------------------------------------------

    def test_purging_removes_old_finished_runs_and_everything_of_theirs(self, world: World) -> None:
        workflow = world.new_id("flow")
        old = [world.started(workflow=workflow) for _ in range(3)]
        for record in old:
            world.commit(world.stop(record, RunState.COMPLETED, side_rows=(hook(world),)))
            world.clock.advance(SECOND)
        cancelled, alive, young = (world.started(workflow=workflow) for _ in range(3))
        world.commit(world.stop(cancelled, RunState.CANCELLED))
        world.clock.advance(timedelta(hours=1))
        world.commit(world.stop(young, RunState.COMPLETED))

        def purge(limit: int) -> int:
            return world.store.purge(NAMESPACE, workflow, [RunState.COMPLETED], timedelta(minutes=1), limit)

        assert purge(2) == 2
        assert set(world.store.lookup([record.run_id for record in old])) == {old[2].run_id}
        assert (purge(10), purge(10)) == (1, 0)

        gone = [record.run_id for record in old]
        assert world.store.lookup(gone) == {}
        assert [row for run_id in gone for row in world.store.history(run_id)] == []
        assert world.store.rows(gone) == []
        assert world.store.latest(NAMESPACE, workflow, old[0].foreign_id) is None
        assert set(world.store.lookup([cancelled.run_id, alive.run_id, young.run_id])) == {
            cancelled.run_id,
            alive.run_id,
            young.run_id,
        }

    def test_runs_for_which_something_waits_stay_until_it_is_done_and_keep_none_of_the_others(self, world: World) -> None:
        workflow, owner, other = world.new_id("flow"), world.owner(), "orders//elsewhere"
        states = (RunState.COMPLETED, RunState.CANCELLED)
        waiting: list[RunRecord] = []
        free: list[RunRecord] = []
        for number in range(8):
            record = world.started(workflow=workflow)
            rows = (hook(world),) if number < 4 else (replace(hook(world), topic=other),) if number < 6 else ()
            world.commit(world.stop(record, states[number % 2], side_rows=rows))
            (waiting if number < 4 else free).append(record)
            world.clock.advance(SECOND)
        told = [entry.row for entry in world.claim(owner, HOOKS)]

        def purge(limit: int) -> int:
            return world.store.purge(NAMESPACE, workflow, states, timedelta(0), limit, ["orders//never", HOOKS])

        def left(records: list[RunRecord]) -> int:
            return len(world.store.lookup([record.run_id for record in records]))

        assert (purge(3), left(free)) == (3, 1)
        assert (purge(3), left(free), left(waiting)) == (1, 0, 4)
        row = told[0]
        world.commit(DropRow(change_id=world.new_id("change"), row_id=row.row_id, owner=owner, delivery=row.delivery))
        assert (purge(9), left(waiting)) == (1, 3)
        assert world.store.purge(NAMESPACE, workflow, states, timedelta(0), 9) == 3

    def test_of_several_states_those_that_ended_first_are_purged_first(self, world: World) -> None:
        workflow, states = world.new_id("flow"), (RunState.CANCELLED, RunState.COMPLETED)
        ended = [world.started(workflow=workflow) for _ in range(4)]
        for number, record in enumerate(ended):
            world.commit(world.stop(record, states[number % 2]))
            world.clock.advance(SECOND)

        assert world.store.purge(NAMESPACE, workflow, states, timedelta(0), 2) == 2

        assert set(world.store.lookup([record.run_id for record in ended])) == {ended[2].run_id, ended[3].run_id}

    def test_a_foreign_id_whose_old_run_was_purged_keeps_its_later_one(self, world: World) -> None:
        workflow, foreign_id = world.new_id("flow"), world.new_id("order")
        first = world.started(foreign_id, workflow=workflow)
        world.commit(world.stop(first, RunState.COMPLETED))
        world.clock.advance(timedelta(hours=1))
        second = world.started(foreign_id, workflow=workflow)
        world.commit(world.stop(second, RunState.COMPLETED))

        world.store.purge(NAMESPACE, workflow, [RunState.COMPLETED], timedelta(minutes=1), 10)

        latest = world.store.latest(NAMESPACE, workflow, foreign_id)
        assert latest is not None
        assert latest.run_id == second.run_id

    def test_a_foreign_id_whose_latest_run_was_purged_has_the_one_before(self, world: World) -> None:
        workflow, foreign_id = world.new_id("flow"), world.new_id("order")
        first = world.started(foreign_id, workflow=workflow)
        world.commit(world.stop(first, RunState.CANCELLED))
        world.clock.advance(SECOND)
        second = world.started(foreign_id, workflow=workflow)
        world.commit(world.stop(second, RunState.COMPLETED))
        world.clock.advance(SECOND)
        world.started(foreign_id, workflow=world.new_id("other"))
        world.clock.advance(SECOND)

        assert world.store.purge(NAMESPACE, workflow, [RunState.COMPLETED], timedelta(0), 10) == 1

        latest = world.store.latest(NAMESPACE, workflow, foreign_id)
        assert latest is not None
        assert latest.run_id == first.run_id
