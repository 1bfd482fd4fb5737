"""What an engine publishes about itself: names, labels and values."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry, generate_latest

from flowdsl.engine.auto_resume import AutoResume
from flowdsl.errors import StoreUnavailableError
from flowdsl.model.pending import ClaimedRow
from flowdsl.model.run_state import RunState
from flowdsl.testing.stepped import SteppedEngine
from tests.behaviour.world import (
    CONSUMER,
    MINUTE,
    SECOND,
    TICK,
    Doctored,
    Job,
    Thing,
    World,
    failing,
    failing_commits,
    sample,
    trigger,
)
from tests.unit.engine.script import Order, Script

CANARY = "canary-4711"
ERRORS = "workflow_process_error_count"
RETRIES = "workflow_process_retries_count"
SKIPPED = "workflow_process_skipped_events_count"


def changes(engine: SteppedEngine, before: RunState, after: RunState, workflow: str = "jobs") -> float:
    """How often this change of run state was counted."""
    labels = {"workflow_name": workflow, "previous_run_state": before.label, "current_run_state": after.label}
    return sample(engine, "workflow_run_state_changes", **labels) or 0


def skipped(engine: SteppedEngine, reason: str) -> float | None:
    return sample(engine, SKIPPED, **CONSUMER, reason=reason)


def test_every_metric_has_its_name_and_labels_from_code_alone(memory_world: World) -> None:
    job = Job(memory_world.clock, lambda run: run.skip())
    process = {"workflow_name", "process_name"}
    with memory_world.engine(job.workflow) as engine:
        trigger(engine, job)
        engine.run_until_idle()
        labels: dict[str, set[str]] = {}
        for family in engine.metrics.registry.collect():
            labels[family.name] = {label for point in family.samples for label in point.labels} - {"le"}
    assert labels == {
        "workflow_purged_runs_count": {"workflow_name"},
        "workflow_process_lag_seconds": process,
        "workflow_process_lag_alert": process,
        "workflow_process_states": process,
        "workflow_dead_letters_count": set(),  # a series for each connector, callback and hook
        "workflow_process_latency_seconds": process,
        ERRORS: process,
        RETRIES: process,
        SKIPPED: {*process, "reason"},
        "workflow_run_state_changes": {"workflow_name", "previous_run_state", "current_run_state"},
        "workflow_commit_batch_size": set(),
        "workflow_commit_seconds": set(),
        "workflow_published_events_count": set(),
        "workflow_unpublished_events_count": set(),
        "workflow_stale_events_count": set(),
        "workflow_swept_rows_count": {"workflow_name"},
        "workflow_queue_depth": {"workflow_name", "status"},
        "workflow_queue_waiting": {"workflow_name", "status"},
        "workflow_queue_oldest_seconds": {"workflow_name", "status"},
    }


def test_the_latency_histogram_has_the_buckets_that_dashboards_know(memory_world: World) -> None:
    job = Job(memory_world.clock)
    with memory_world.engine(job.workflow) as engine:
        (family,) = (f for f in engine.metrics.registry.collect() if f.name == "workflow_process_latency_seconds")
        mine = [point for point in family.samples if point.labels["process_name"] == CONSUMER["process_name"]]
        bounds = [float(point.labels["le"]) for point in mine if point.name.endswith("_bucket")]
    assert bounds == [0.01, 0.1, 1, 5, 10, 60, 300, float("inf")]


def test_a_run_that_succeeds_is_counted_state_by_state_and_its_time_is_measured(world: World) -> None:
    def body(run: Any) -> None:
        world.clock.advance(3 * SECOND)

    job = Job(world.clock, body)
    with world.engine(job.workflow) as engine:
        trigger(engine, job)
        engine.run_until_idle()
        assert changes(engine, RunState.UNKNOWN, RunState.INITIATED) == 1
        assert changes(engine, RunState.INITIATED, RunState.COMPLETED) == 1
        assert sample(engine, "workflow_process_latency_seconds_count", **CONSUMER) == 1
        assert sample(engine, "workflow_process_latency_seconds_sum", **CONSUMER) == 3
        assert sample(engine, ERRORS, **CONSUMER) == 0
        assert sample(engine, RETRIES, **CONSUMER) == 0
        assert (sample(engine, "workflow_commit_batch_size_count") or 0) > 0


def test_a_run_of_two_steps_is_initiated_running_and_completed_once_each() -> None:
    script = Script()
    with script.engine() as engine:
        engine.trigger(script.workflow, "o", Order(1))
        engine.run_until_idle()
        assert changes(engine, RunState.UNKNOWN, RunState.INITIATED, "orders") == 1
        assert changes(engine, RunState.INITIATED, RunState.RUNNING, "orders") == 1
        assert changes(engine, RunState.RUNNING, RunState.COMPLETED, "orders") == 1


def test_failures_and_retries_are_counted_and_the_failure_that_pauses_is_no_retry(world: World) -> None:
    job = Job(world.clock, failing, own={"err_backoff": SECOND, "pause_after_err_count": 3})
    with world.engine(job.workflow, auto_resume=AutoResume(after=None)) as engine:
        (handle,) = trigger(engine, job)
        engine.advance(SECOND)
        assert (sample(engine, ERRORS, **CONSUMER), sample(engine, RETRIES, **CONSUMER)) == (2, 2)
        engine.advance(SECOND)
        assert (sample(engine, ERRORS, **CONSUMER), sample(engine, RETRIES, **CONSUMER)) == (3, 2)
        assert changes(engine, RunState.INITIATED, RunState.PAUSED) == 1
        handle.resume()
        assert changes(engine, RunState.PAUSED, RunState.RUNNING) == 1
        handle.cancel("enough")
        engine.run_until_idle()
        assert changes(engine, RunState.RUNNING, RunState.CANCELLED) == 1


def test_a_skip_is_counted_with_its_reason_and_changes_no_state(world: World) -> None:
    job = Job(world.clock, lambda run: run.skip())
    with world.engine(job.workflow) as engine:
        trigger(engine, job)
        engine.run_until_idle()
        assert skipped(engine, "next value specified skip") == 1
        assert sum(changes(engine, RunState.INITIATED, state) for state in RunState) == 0


@pytest.mark.parametrize(
    ("reason", "later"),
    [
        ("record not found", lambda run: None),
        ("record stopped", lambda run: replace(run, state=RunState.CANCELLED)),
        ("event record version lower than latest record version", lambda run: replace(run, version=run.version + 1)),
    ],
)
def test_events_of_runs_that_are_gone_or_moved_on_are_counted_as_skipped(memory_world: World, reason: str, later: Any) -> None:
    world, job = memory_world, Job(memory_world.clock)

    def claim(*args: Any) -> list[ClaimedRow]:
        return [ClaimedRow(entry.row, later(entry.run)) for entry in world.store.claim(*args)]

    trigger(world.outsider(job.workflow), job)
    with world.engine(job.workflow, store=Doctored(world.store, claim=claim)) as engine:
        engine.worker.dispatcher.step()
        assert skipped(engine, reason) == 1
    assert job.begun == []


def test_a_row_whose_run_is_gone_holds_up_no_other(memory_world: World) -> None:
    world, job = memory_world, Job(memory_world.clock)
    handles = trigger(world.outsider(job.workflow), job, count=5)

    def claim(*args: Any) -> list[ClaimedRow]:
        gone = handles[1].run_id
        return [ClaimedRow(entry.row, None if entry.row.run_id == gone else entry.run) for entry in world.store.claim(*args)]

    with world.engine(job.workflow, store=Doctored(world.store, claim=claim)) as engine:
        engine.worker.dispatcher.step()
        while engine.step():
            pass
        assert [handle.record().state for handle in handles if handle is not handles[1]] == [RunState.COMPLETED] * 4
        # once, and once more for each row that the sweeper makes: for it the run is there
        made_again = sample(engine, "workflow_swept_rows_count", workflow_name="jobs") or 0
        assert skipped(engine, "record not found") == 1 + made_again
        assert not handles[1].pending()


def test_only_committed_changes_of_run_state_are_counted(world: World) -> None:
    def cancelled_meanwhile(run: Any) -> None:
        engine.handle(run.run_id).cancel("stop", force=True)

    job = Job(world.clock, cancelled_meanwhile)
    with world.engine(job.workflow) as engine:
        trigger(engine, job)
        engine.run_until_idle()
        assert changes(engine, RunState.INITIATED, RunState.CANCELLED) == 1
        assert changes(engine, RunState.INITIATED, RunState.COMPLETED) == 0
        assert skipped(engine, "record stopped") == 1


def test_a_commit_that_the_store_could_not_answer_is_counted_when_it_succeeds_and_once(world: World) -> None:
    job = Job(world.clock)
    (handle,) = trigger(world.outsider(job.workflow), job)
    with world.engine(job.workflow, store=failing_commits(world.store, 2)) as engine:
        engine.run_until_idle()
        assert changes(engine, RunState.INITIATED, RunState.COMPLETED) == 0
        engine.advance(5 * SECOND)
        assert changes(engine, RunState.INITIATED, RunState.COMPLETED) == 1
        assert handle.record().state is RunState.COMPLETED
    assert len(job.begun) == 1, "the body is not run again for it"


def test_a_trigger_that_was_not_stored_is_not_counted(world: World) -> None:
    job = Job(world.clock)
    with world.engine(job.workflow, store=failing_commits(world.store, 1)) as engine:
        with pytest.raises(StoreUnavailableError):
            trigger(engine, job)
        assert changes(engine, RunState.UNKNOWN, RunState.INITIATED) == 0


def test_a_trigger_that_found_a_run_is_not_counted(world: World) -> None:
    job = Job(world.clock)
    with world.engine(job.workflow) as engine:
        for _ in range(2):
            engine.trigger(job.workflow, "thing", Thing(), idempotency_key="k")
        assert changes(engine, RunState.UNKNOWN, RunState.INITIATED) == 1


def test_no_label_carries_data(memory_world: World) -> None:
    def body(run: Any) -> Any:
        if run.attempt == 1:
            raise RuntimeError(CANARY)
        return run.cancel(CANARY)

    job = Job(memory_world.clock, body, own={"err_backoff": SECOND})
    with memory_world.engine(job.workflow) as engine:
        handle = engine.trigger(job.workflow, CANARY, Thing(CANARY), metadata={CANARY: CANARY}, idempotency_key=CANARY)
        engine.advance(SECOND)
        assert handle.record().state is RunState.CANCELLED
        published = generate_latest(engine.metrics.registry).decode()
    assert "workflow_run_state_changes" in published
    assert CANARY not in published
    assert handle.run_id not in published


# -- queues ---------------------------------------------------------------------------------------------------------------------


def queue(engine: SteppedEngine) -> dict[str, float | None]:
    labels = {"workflow_name": "jobs", "status": "new"}
    return {name: sample(engine, f"workflow_queue_{name}", **labels) for name in ("depth", "waiting", "oldest_seconds")}


def test_queue_depth_and_age_are_read_when_they_are_scraped(world: World) -> None:
    job = Job(world.clock, failing, own={"err_backoff": 10 * MINUTE})
    outsider = world.outsider(job.workflow)
    with world.engine(job.workflow) as engine:
        trigger(outsider, job, count=3)
        world.clock.advance(7 * SECOND)
        assert queue(engine) == {"depth": 3, "waiting": 0, "oldest_seconds": 7}
        engine.run_until_idle()
        assert queue(engine) == {"depth": 0, "waiting": 3, "oldest_seconds": 0}


def test_the_store_is_asked_for_depths_by_scrapes_alone(memory_world: World) -> None:
    world, job = memory_world, Job(memory_world.clock)
    asked: list[Any] = []

    def depths(*args: Any) -> Any:
        asked.append(args)
        return world.store.depths(*args)

    with world.engine(job.workflow, store=Doctored(world.store, depths=depths)) as engine:
        trigger(engine, job)
        engine.advance(MINUTE)
        assert asked == []
        generate_latest(engine.metrics.registry)
        assert len(asked) == 1


def test_a_scrape_while_the_store_is_away_lacks_the_depths_and_nothing_else(memory_world: World) -> None:
    world, job = memory_world, Job(memory_world.clock)

    def depths(*_: Any) -> Any:
        raise StoreUnavailableError("the database is away.")

    with world.engine(job.workflow, store=Doctored(world.store, depths=depths)) as engine:
        trigger(engine, job)
        engine.run_until_idle()
        assert queue(engine) == {"depth": None, "waiting": None, "oldest_seconds": None}
        assert sample(engine, "workflow_process_latency_seconds_count", **CONSUMER) == 1


# -- lag, states, registries ----------------------------------------------------------------------------------------------------


def test_a_claim_that_fails_is_counted_as_an_error_of_its_processes(memory_world: World) -> None:
    world, job = memory_world, Job(memory_world.clock)
    broken = [True]

    def claim(*args: Any) -> Any:
        if broken.pop() if broken else False:
            raise StoreUnavailableError("the database is away.")
        return world.store.claim(*args)

    (handle,) = trigger(world.outsider(job.workflow), job)
    with world.engine(job.workflow, store=Doctored(world.store, claim=claim)) as engine:
        engine.run_until_idle()
        assert sample(engine, ERRORS, **CONSUMER) == 1
        engine.advance(2 * SECOND)
        assert handle.record().state is RunState.COMPLETED


def test_the_lag_is_the_age_of_the_event_received_last(world: World) -> None:
    job = Job(world.clock, own={"concurrency": 1, "lag_alert": 5 * SECOND})
    outsider = world.outsider(job.workflow)
    outsider.trigger(job.workflow, "old", Thing())
    world.clock.advance(10 * SECOND)
    outsider.trigger(job.workflow, "young", Thing())
    world.clock.advance(TICK)
    with world.engine(job.workflow) as engine:
        engine.worker.dispatcher.step()
        assert sample(engine, "workflow_process_lag_seconds", **CONSUMER) == pytest.approx(10.001)
        assert sample(engine, "workflow_process_lag_alert", **CONSUMER) == 1
        while engine.worker.executor.step():  # type: ignore[attr-defined]
            pass
        while engine._the_core().committer.step():
            pass
        engine.worker.dispatcher.step()
        assert sample(engine, "workflow_process_lag_seconds", **CONSUMER) == pytest.approx(0.001)
        assert sample(engine, "workflow_process_lag_alert", **CONSUMER) == 0


def test_the_state_of_a_process_is_published_running_waiting_for_its_role_or_shut_down(world: World) -> None:
    job = Job(world.clock, own={"parallel_count": 1})

    def state(engine: SteppedEngine) -> float | None:
        engine.worker.publish_states()
        return sample(engine, "workflow_process_states", **CONSUMER)

    engine = world.engine(job.workflow)
    assert engine.states() == {}, "nothing is known before the start"
    with engine, world.engine(job.workflow) as second:
        assert [state(engine), state(second)] == [2, 3]
        assert engine.states() == {
            "jobs/new-consumer-1-of-1": 2,
            "jobs/delete-consumer": 2,
            "jobs/scheduler": 2,
            "sweeper": 2,
            "auto-resumer": 2,
            "purger": 2,
        }
    assert sample(engine, "workflow_process_states", **CONSUMER) == 1


def test_an_engine_publishes_to_the_registry_it_was_given_and_else_to_one_of_its_own(memory_world: World) -> None:
    job = Job(memory_world.clock)
    registry = CollectorRegistry()
    given = memory_world.engine(job.workflow, registry=registry)
    one, two = memory_world.engine(job.workflow), memory_world.engine(job.workflow)
    assert given.metrics.registry is registry
    assert len({id(engine.metrics.registry) for engine in (given, one, two)}) == 3
    with pytest.raises(ValueError, match="Duplicated"):
        memory_world.engine(job.workflow, registry=registry)


def test_importing_the_library_registers_nothing_with_the_process() -> None:
    from prometheus_client import REGISTRY

    assert not any(family.name.startswith("workflow_") for family in REGISTRY.collect())
