"""What happens when processes die or rows are missing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.errors import StoreUnavailableError
from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.model.change import Change, CommitResult, MoveRun
from flowdsl.model.history import Cause, Origin
from flowdsl.model.lapse import LONGEST
from flowdsl.model.pending import ClaimedRow, TopicQuota
from flowdsl.model.run_state import RunState
from flowdsl.options import DEFAULT_PAUSE_AFTER_ERR_COUNT
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.stepped import SteppedEngine
from tests.unit.engine.script import Order, Script, Status


def test_a_crashed_instance_loses_nothing_and_its_claims_are_taken_over_when_its_heartbeat_lapses() -> None:
    script = Script()
    with script.engine(handoff=False) as engine:
        handle = engine.trigger(script.workflow, "o", Order(1))
        engine.worker.dispatcher.step()  # claimed, and then the process is gone
        engine.crash()
        with SteppedEngine(script.workflow, clock=engine.clock, store=engine.store, roles=engine.roles, seed=1) as other:
            other.run_until_idle()
            assert script.attempts == []
            other.advance(timedelta(seconds=45))
            assert other.handle(handle.run_id).record().state is RunState.COMPLETED
            assert script.attempts == [2], "the lapsed claim counts as an attempt"


def test_a_step_that_kills_its_worker_every_time_is_paused_instead_of_killing_the_fleet() -> None:
    script = Script(pause_after_err_count=3)
    engine = script.engine(handoff=False)
    engine.__enter__()
    handle = engine.trigger(script.workflow, "o", Order(1))
    for seed in range(1, 5):
        engine.worker.dispatcher.step()
        engine.crash()
        engine = SteppedEngine(
            script.workflow, clock=engine.clock, store=engine.store, roles=engine.roles, seed=seed, handoff=False
        )
        engine.__enter__()
        engine.clock.advance(timedelta(seconds=45))
        engine.worker.membership.step()
        engine.worker.membership.cover(LONGEST)
        engine.clock.advance(LONGEST)
        if seed >= 3:
            engine.run_until_idle()
    record = engine.handle(handle.run_id).record()
    assert record.state is RunState.PAUSED
    assert "worker was lost 3 times" in (record.last_error or "")
    assert script.attempts == []


def test_a_step_that_kills_its_worker_does_not_take_the_same_runs_down_with_it_every_time() -> None:
    script = Script()
    engine, crashes = script.engine(handoff=False), 0
    engine.start()
    others = engine.trigger_many(script.workflow, [(f"o-{number}", Order(1)) for number in range(5)])
    deadly = engine.trigger(script.workflow, "deadly", Order(1))
    for _ in range(2000):
        engine.worker.dispatcher.step()
        rows = deadly.pending()
        if rows and rows[0].owner is not None and rows[0].lapses < DEFAULT_PAUSE_AFTER_ERR_COUNT:
            crashes += 1  # at the worst moment: nothing that was claimed with it has been committed
            engine.crash()
            engine.clock.advance(timedelta(seconds=45))
            engine = SteppedEngine(
                script.workflow, clock=engine.clock, store=engine.store, roles=engine.roles, seed=crashes, handoff=False
            )
            engine.start()
            engine.worker.membership.step()
        else:
            while engine.step():
                pass
            engine.worker.membership.cover(timedelta(seconds=1))
            engine.clock.advance(timedelta(seconds=1))
        if deadly.record().state is RunState.PAUSED:
            break
    assert crashes == DEFAULT_PAUSE_AFTER_ERR_COUNT
    assert {engine.handle(other.run_id).record().state for other in others} == {RunState.COMPLETED}


def test_the_sweeper_makes_the_missing_row_and_counts_it() -> None:
    older = Workflow("orders", object_type=Order, status_type=Status)

    @older.step(from_=Status.CREATED, to=Status.PAID)
    def charge(run: Run[Order, Status]) -> Status:
        return Status.PAID

    @older.step(from_=Status.SHIPPED, to=Status.PAID)
    def unused(run: Run[Order, Status]) -> Status:
        return Status.PAID

    newer = Script()
    with SteppedEngine(older) as old:
        handle = old.trigger(older, "o", Order(1))
        old.store.commit(
            [
                MoveRun(  # as a version that knew more would have left it: in a status that nothing here consumes, without a row
                    change_id="c",
                    namespace="default",
                    workflow="orders",
                    run_id=handle.run_id,
                    version=1,
                    from_status="created",
                    from_state=RunState.INITIATED,
                    to_status="paid",
                    to_state=RunState.RUNNING,
                    origin=Origin(Cause.MIGRATION),
                )
            ]
        )
        old.crash()
        with SteppedEngine(newer.workflow, clock=old.clock, store=old.store, roles=old.roles, seed=3) as new:
            new.advance(timedelta(minutes=5))
            assert new.handle(handle.run_id).record().state is RunState.COMPLETED
            assert Cause.SWEEP in [row.cause for row in handle.history()]
            assert new.metrics.registry.get_sample_value("workflow_swept_rows_count", {"workflow_name": "orders"}) == 1


def test_a_pause_does_not_undo_a_cancel_that_waits_for_a_step_whose_worker_is_gone() -> None:
    script = Script()
    with script.engine(handoff=False) as engine:
        handle = engine.trigger(script.workflow, "o", Order(1))
        engine.worker.dispatcher.step()  # claimed
        handle.cancel("no longer wanted", actor="ada")
        engine.crash()
        client = SteppedEngine(script.workflow, clock=engine.clock, store=engine.store, roles=engine.roles, seed=1)
        engine.clock.advance(timedelta(seconds=45))
        engine.store.free_lapsed("default")

        after = client.handle(handle.run_id).pause("a moment", actor="bob")

        assert (after.state, after.reason, after.actor) == (RunState.CANCELLED, "no longer wanted", "ada")


class Unsure(MemoryRecordStore):
    """A store whose answer to the next commit is lost: what was asked for is done."""

    losing = False

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        results = super().commit(changes)
        if self.losing:
            self.losing = False
            raise StoreUnavailableError("the answer was lost.")
        return results


def test_a_run_whose_start_was_never_answered_goes_on_all_the_same() -> None:
    script, clock = Script(), ManualClock()
    store = Unsure(clock)
    with SteppedEngine(script.workflow, clock=clock, store=store) as engine:
        store.losing = True
        with pytest.raises(StoreUnavailableError):
            engine.trigger(script.workflow, "o", Order(1))  # its row was born this instance's, which does not know of it
        engine.advance(timedelta(seconds=5))
        assert engine.latest(script.workflow, "o").record().state is RunState.COMPLETED


def test_a_resumption_that_was_never_answered_goes_on_all_the_same() -> None:
    script, clock = Script(lambda run: run.pause("wait"), Status.PAID), ManualClock()
    store = Unsure(clock)
    with SteppedEngine(script.workflow, clock=clock, store=store) as engine:
        handle = engine.trigger(script.workflow, "o", Order(1))
        engine.run_until_idle()
        store.losing = True
        with pytest.raises(StoreUnavailableError):
            handle.resume()
        engine.advance(timedelta(seconds=5))
        assert handle.record().state is RunState.COMPLETED


class Silent(MemoryRecordStore):
    """A store that answers claims, and then cannot be reached."""

    def now(self) -> datetime:
        raise StoreUnavailableError("the database is being restarted.")


def test_what_was_claimed_is_worked_on_when_the_store_falls_silent_right_after_the_claim() -> None:
    script, clock = Script(), ManualClock()
    with SteppedEngine(script.workflow, clock=clock, store=Silent(clock), handoff=False) as engine:
        handle = engine.trigger(script.workflow, "o", Order(1))
        engine.run_until_idle()
        assert handle.record().state is RunState.COMPLETED


class Forgetful(MemoryRecordStore):
    """A store whose claims are not answered for a while, though they are made; what they took comes with the next that is."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.losing = False
        self._lost: list[ClaimedRow] = []

    def claim(self, namespace: str, owner: str, quotas: Sequence[TopicQuota]) -> Sequence[ClaimedRow]:
        found = super().claim(namespace, owner, quotas)
        if self.losing:
            self._lost += found
            raise StoreUnavailableError("the answer was lost.")
        lost, self._lost = self._lost, []
        return [*lost, *found]


def test_rows_of_claims_without_an_answer_are_worked_on_whatever_the_next_claim_asks_for() -> None:
    script, clock = Script(), ManualClock()
    store = Forgetful(clock)
    with SteppedEngine(script.workflow, clock=clock, store=store, handoff=False) as engine:
        first = engine.trigger(script.workflow, "o", Order(1))
        engine.run_until_idle()
        store.losing = True
        handles = [engine.trigger(script.workflow, f"o-{number}", Order(1)) for number in range(3)]
        engine.advance(timedelta(milliseconds=100))
        store.losing = False
        other = engine.trigger(script.workflow, "p", Order(1), start_status=Status.PAID)  # only its status is looked at
        engine.advance(timedelta(seconds=5))
        assert {handle.record().state for handle in (first, *handles, other)} == {RunState.COMPLETED}
