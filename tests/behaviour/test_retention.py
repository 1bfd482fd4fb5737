"""Retention: finished runs go when their workflow keeps them no longer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from flowdsl.engine import purger
from flowdsl.errors import BadDataError, DefinitionError, RunNotFoundError, StoreUnavailableError
from flowdsl.memory.event_streamer import MemoryEventStreamer
from flowdsl.model.callback_result import CallbackOutcome
from flowdsl.model.pending import RowKind
from flowdsl.model.run_state import RunState
from tests.behaviour.parcels import DAY, Parcel, ParcelRun, Parcels, PickUp, Stage, bare, collected, early, parcels, waiting
from tests.behaviour.world import HOUR, MINUTE, SECOND, Doctored, World, sample

S = RunState


def gone(handle: Any) -> bool:
    try:
        handle.record()
    except RunNotFoundError:
        return True
    return False


def test_a_workflow_that_says_nothing_keeps_its_runs_for_ever(world: World) -> None:
    workflow = collected()
    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
        handle.cancel("lost")
        engine.advance(timedelta(days=10_000))

        assert not gone(handle)


def test_runs_go_by_how_they_ended_counted_from_their_end(world: World) -> None:
    workflow = collected(keep_completed=DAY, keep_cancelled=2 * DAY, keep_deleted=3 * DAY)
    with world.engine(workflow) as engine:
        completed, cancelled, deleted, alive = (waiting(engine, workflow, n) for n in ("done", "lost", "data", "alive"))
        engine.advance(5 * DAY)
        engine.callback(workflow, "done", Stage.WAITING, PickUp("Ada"))
        for handle in (cancelled, deleted):
            handle.cancel("lost")
        deleted.delete_data("asked to")
        engine.run_until_idle()
        handles = [completed, cancelled, deleted, alive]

        def left() -> list[bool]:
            return [not gone(handle) for handle in handles]

        engine.advance(DAY - MINUTE)
        assert left() == [True, True, True, True]
        engine.advance(2 * MINUTE + SECOND)
        assert left() == [False, True, True, True]
        engine.advance(DAY)
        assert left() == [False, False, True, True]
        engine.advance(DAY)
        assert left() == [False, False, False, True]
        engine.advance(100 * DAY)
        assert left() == [False, False, False, True]
        assert sample(engine, "workflow_purged_runs_count", workflow_name="parcels") == 3


def told(answers: list[str], **settings: Any) -> Parcels:
    """Parcels with a hook that fails until there is an answer."""
    workflow = collected(**settings)

    @workflow.on_cancel(err_backoff=HOUR)
    def tell(run: ParcelRun) -> None:
        if not answers:
            raise RuntimeError("nobody answers")

    return workflow


def test_what_belongs_to_a_run_goes_with_it_and_the_receipt_stays(world: World) -> None:
    before = told([])
    with world.engine(before) as engine:
        handle = engine.trigger(before, "parcel-1", Parcel())
        early(engine, before)
        handle.cancel("lost")
        engine.run_until_idle()
    workflow = collected(keep_cancelled=DAY, keep_deleted=DAY)
    with world.engine(workflow) as engine:
        handle.delete_data("asked to")
        engine.advance(HOUR)
        assert [row.kind for row in handle.pending()] == [RowKind.HOOK], "of a hook that no code has any more"
        engine.advance(DAY)

        assert gone(handle)
        assert (list(handle.history()), list(handle.pending())) == ([], [])
        assert handle.receipt() is not None
        assert engine.runs(workflow).runs == []
        with pytest.raises(RunNotFoundError):
            engine.latest(workflow, "parcel-1")


def test_a_run_stays_until_its_hooks_were_told(world: World) -> None:
    answers: list[str] = []
    workflow = told(answers, keep_cancelled=DAY)
    with world.engine(workflow) as engine:
        handles = [waiting(engine, workflow, name) for name in ("one", "two")]
        for handle in handles:
            handle.cancel("lost")
        engine.advance(10 * DAY)
        assert [len(handle.pending()) for handle in handles] == [1, 1]

        answers.append("here")
        engine.advance(2 * HOUR)
        assert [gone(handle) for handle in handles] == [True, True]


def test_a_run_stays_until_its_events_were_published_where_somebody_publishes(world: World) -> None:
    workflow = bare(Stage.WAITING, Stage.RETURNED, keep_completed=HOUR)

    @workflow.step(from_=Stage.PACKED, to=Stage.COLLECTED)
    def collect(run: ParcelRun) -> None:
        run.publish("collected", b"{}")

    class Away(MemoryEventStreamer):
        away = True

        def publish(self, events: Any) -> Any:
            return [not self.away or not event.body for event in events]

    streamer = Away(world.clock)
    with world.engine(workflow, streamer=streamer) as engine:
        handle = engine.trigger(workflow, "parcel-1", Parcel())
        engine.advance(DAY)
        assert [row.kind for row in handle.pending()] == [RowKind.EVENT]

        streamer.away = False
        for _ in range(3):  # published, removed, purged
            engine.advance(2 * MINUTE)
        assert gone(handle)


def test_a_dead_letter_outlives_its_run(world: World) -> None:
    workflow = collected(keep_cancelled=DAY)
    with world.engine(workflow) as engine:
        handle = engine.trigger(workflow, "parcel-1", Parcel())
        early(engine, workflow)
        handle.cancel("lost")
        engine.advance(DAY + 2 * MINUTE)
        assert gone(handle)
        (letter,) = engine.dead_letters.list().letters
        second = waiting(engine, workflow)

        engine.dead_letters.replay(letter.letter_id)

        assert second.run().object.driver == "Ada"


def test_a_run_whose_deletion_was_asked_for_is_not_purged_before_it_is_done(world: World) -> None:
    workflow = collected(keep_cancelled=DAY)
    away = [True]

    @workflow.on_delete
    def scrub(run: ParcelRun) -> None:
        if away:
            raise RuntimeError("the archive is away")
        run.object.notes = ["scrubbed"]

    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
        handle.cancel("lost")
        handle.delete_data("asked to")
        engine.advance(3 * DAY)
        assert handle.record().state is S.REQUESTED_DATA_DELETED
        away.clear()
        engine.advance(2 * HOUR)

        assert handle.record().state is S.DATA_DELETED, "and those are kept for ever, unless keep_deleted says otherwise"


def test_many_runs_go_in_bounded_batches(world: World) -> None:
    workflow = parcels(Stage.COLLECTED, Stage.RETURNED, keep_completed=HOUR)
    limits: list[int] = []

    def purge(namespace: str, name: str, states: Any, age: timedelta, limit: int, topics: Any) -> int:
        limits.append(limit)
        return world.store.purge(namespace, name, states, age, min(limit, 2), topics)

    store: Any = Doctored(world.store, purge=purge)
    with world.engine(workflow, store=store) as engine:
        handles = engine.trigger_many(workflow, [(f"parcel-{number}", Parcel()) for number in range(5)])
        engine.advance(HOUR)
        left = []
        for _ in range(4):
            engine.advance(MINUTE + SECOND)
            left.append([gone(handle) for handle in handles].count(False))

        assert left == [3, 1, 0, 0]
        assert set(limits) == {500}


def test_one_instance_purges_and_another_takes_over(world: World) -> None:
    workflow = parcels(Stage.COLLECTED, Stage.RETURNED, keep_completed=HOUR)
    with world.engine(workflow) as one, world.engine(workflow) as other:
        one.run_until_idle()
        other.run_until_idle()
        holders = [engine.states()["purger"].name for engine in (one, other)]
        assert sorted(holders) == ["IDLE", "RUNNING"]
        (leader, follower) = (one, other) if holders[0] == "RUNNING" else (other, one)
        leader.crash()
        handle = follower.trigger(workflow, "parcel-1", Parcel())
        follower.advance(HOUR + 2 * MINUTE)

        assert gone(handle)


def test_a_store_that_is_away_is_asked_again(world: World) -> None:
    workflow = parcels(Stage.COLLECTED, Stage.RETURNED, keep_completed=HOUR)
    failures = iter(range(2))

    def purge(*arguments: Any) -> int:
        if next(failures, None) is not None:
            raise StoreUnavailableError("the database is away.")
        return world.store.purge(*arguments)

    store: Any = Doctored(world.store, purge=purge)
    with world.engine(workflow, store=store) as engine:
        handle = engine.trigger(workflow, "parcel-1", Parcel())
        engine.run_until_idle()
        world.clock.advance(HOUR)
        engine.advance(10 * MINUTE)

        assert gone(handle)


@pytest.mark.parametrize("kept", [None, 2 * DAY])
def test_idempotency_keys_are_kept_for_ever_unless_their_workflow_says_for_how_long(
    world: World, kept: timedelta | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purger, "BATCH", 2)
    workflow = collected(keep_keys=kept)
    with world.engine(workflow) as engine:

        def starts(key: str, foreign_id: str) -> bool:
            try:
                engine.trigger(workflow, foreign_id, Parcel(), idempotency_key=key)
            except BadDataError:  # the key has started another run
                return False
            engine.run_until_idle()
            return True

        def calls(foreign_id: str) -> CallbackOutcome:
            return engine.callback(workflow, foreign_id, Stage.WAITING, PickUp("Ada"), idempotency_key="event").outcome

        keys = [f"key-{number}" for number in range(5)]
        assert [starts(key, f"first-{key}") for key in keys] == [True] * 5
        assert calls("first-key-0") is CallbackOutcome.APPLIED
        engine.advance(2 * DAY - MINUTE)
        assert [starts(key, f"second-{key}") for key in keys] == [False] * 5
        assert calls("first-key-1") is CallbackOutcome.DUPLICATE

        engine.advance(4 * MINUTE)
        over = kept is not None
        assert [starts(key, f"third-{key}") for key in keys] == [over] * 5
        assert calls("first-key-1") is (CallbackOutcome.APPLIED if over else CallbackOutcome.DUPLICATE)


def test_how_long_runs_are_kept_is_a_duration_above_zero() -> None:
    wrong: Any = 30
    with pytest.raises(DefinitionError, match="keep_completed=30 is not a duration"):
        collected(keep_completed=wrong)
    with pytest.raises(DefinitionError, match="keep_deleted=0:00:00 is not above zero"):
        collected(keep_deleted=timedelta(0))
