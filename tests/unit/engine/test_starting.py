"""Starting runs and waiting for them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from flowdsl.engine.engine import Engine
from flowdsl.engine.handle import RunHandle
from flowdsl.engine.work import Work
from flowdsl.errors import (
    BadDataError,
    ConfigurationError,
    DefinitionError,
    PayloadError,
    RunEndedError,
    StoreUnavailableError,
    WorkflowInProgressError,
)
from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.memory.role_scheduler import MemoryRoleScheduler
from flowdsl.model.change import Change, CommitResult, PutItems
from flowdsl.model.run_state import RunState
from tests.unit.engine.script import Order, Script, Status, order_of


def test_one_unfinished_run_per_foreign_id() -> None:
    script = Script()
    with script.engine() as engine:
        first = engine.trigger(script.workflow, "o", Order(1))
        with pytest.raises(WorkflowInProgressError) as caught:
            engine.trigger(script.workflow, "o", Order(2))
        assert caught.value.run_id == first.run_id
        engine.run_until_idle()
        second = engine.trigger(script.workflow, "o", Order(2))
        assert second.created
        assert engine.latest(script.workflow, "o").run_id == second.run_id


def test_an_idempotency_key_starts_one_run_for_ever() -> None:
    script = Script()
    with script.engine() as engine:
        first = engine.trigger(script.workflow, "o", Order(1), idempotency_key="k")
        engine.run_until_idle()
        again = engine.trigger(script.workflow, "o", Order(1), idempotency_key="k")
        assert (again.run_id, again.created, first.created) == (first.run_id, False, True)
        many = engine.trigger_many(
            script.workflow, [("o", Order(1)), ("p", Order(2))], key=lambda fid: "k" if fid == "o" else fid
        )
        assert [h.created for h in many] == [False, True]


def test_a_key_that_has_started_a_run_of_another_foreign_id_is_refused() -> None:
    script = Script()
    with script.engine() as engine:
        engine.trigger(script.workflow, "o", Order(1), idempotency_key="k")
        engine.run_until_idle()
        with pytest.raises(BadDataError, match="'k' of orders has started 'o', so 'p' was not started"):
            engine.trigger(script.workflow, "p", Order(1), idempotency_key="k")
        with pytest.raises(BadDataError, match="'k' of orders has started 'o', so 'p' was not"):
            engine.trigger_many(script.workflow, [("p", Order(1)), ("q", Order(2))], key=lambda fid: "k" if fid == "p" else fid)
        assert [run.foreign_id for run in engine.runs().runs] == ["o", "q"], "what could be started was"


def test_one_key_is_not_for_many_runs() -> None:
    script = Script()
    with script.engine() as engine:
        many: Any = engine.trigger_many
        with pytest.raises(ConfigurationError, match="Give key="):
            many(script.workflow, [("o", Order(1)), ("p", Order(2))], idempotency_key="k")
        assert list(engine.runs().runs) == []


def test_a_run_may_start_in_any_status_that_something_leaves() -> None:
    script = Script()
    with script.engine() as engine:
        handle = engine.trigger(script.workflow, "o", Order(1), start_status=Status.PAID)
        engine.run_until_idle()
        assert order_of(handle).log == ["ship"]
        with pytest.raises(DefinitionError, match="nothing leaves it"):
            engine.trigger(script.workflow, "p", Order(1), start_status=Status.SHIPPED)


def test_a_trigger_without_object_is_refused_unless_the_type_allows_it() -> None:
    script = Script()
    with script.engine() as engine:
        with pytest.raises(PayloadError):
            engine.trigger(script.workflow, "o")
        other = Script().workflow
        with pytest.raises(ConfigurationError):
            engine.trigger(other, "o", Order(1))


def test_waiting_consults_history_first_and_says_when_a_status_cannot_be_reached_any_more() -> None:
    script = Script(lambda run: run.cancel("no") if run.foreign_id == "bad" else Status.PAID)
    with script.engine() as engine:
        good, bad = engine.trigger(script.workflow, "good", Order(1)), engine.trigger(script.workflow, "bad", Order(1))
        engine.run_until_idle()
        assert good.wait(Status.PAID).status is Status.SHIPPED
        assert good.wait().object.log == ["charge 1", "ship"]
        assert bad.wait().state is RunState.CANCELLED
        with pytest.raises(RunEndedError):
            bad.wait(Status.PAID)


def test_a_trigger_returns_although_its_run_cannot_be_gone_on_with_here(caplog: pytest.LogCaptureFixture) -> None:
    """The loop on which its `async def` step was to run has been closed, say: the run is stored all the same."""
    script = Script()
    with script.engine() as engine:

        def closed(_works: Sequence[Work]) -> None:
            raise RuntimeError("Event loop is closed")

        engine._the_core().offer = closed
        handles: list[RunHandle[Order, Status]] = []

        def trigger() -> None:
            handles.append(engine.trigger(script.workflow, "o", Order(1)))

        thread = threading.Thread(target=trigger, daemon=True)
        thread.start()
        thread.join(5)
        assert [handle.created for handle in handles] == [True]
    assert "Event loop is closed" in caplog.text


class Unready(MemoryRecordStore):
    """A store that falls silent in the middle of an engine's start."""

    silent = False

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        if self.silent and any(isinstance(change, PutItems) for change in changes):
            self.silent = False
            raise StoreUnavailableError("the store is away.")
        return super().commit(changes)


def test_an_engine_whose_start_failed_takes_no_work_and_can_be_started_again() -> None:
    script, store = Script(concurrency=1), Unready()
    script.workflow.on_complete(lambda run: None)
    engine = Engine(
        script.workflow,
        store=store,
        roles=MemoryRoleScheduler(),
        beat=timedelta(seconds=0.1),
        lapse=timedelta(seconds=1),
    )
    store.silent = True
    with pytest.raises(StoreUnavailableError):
        engine.start()
    handle = engine.trigger(script.workflow, "o", Order(1))
    assert [row.owner for row in handle.pending()] == [None]
    done: list[CommitResult] = []
    core = engine._the_core()
    core.committer.submit(PutItems(change_id="c", namespace="default"), done.append, lambda _: None)
    core.commit_soon()
    assert done, "there is no thread that would commit it"

    with engine:
        assert handle.wait(timeout=timedelta(seconds=10)).state is RunState.COMPLETED
