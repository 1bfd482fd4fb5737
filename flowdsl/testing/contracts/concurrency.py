"""Concurrency: many threads, each with a handle of its own on the same data."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from flowdsl.model.change import CommitOutcome, Refusal
from flowdsl.model.pending import TopicQuota
from flowdsl.model.run_state import RunState
from flowdsl.ports.record_store import RecordStore
from flowdsl.testing.contracts.samples import NAMESPACE, World

THREADS = 8


class ConcurrencyRules:
    def test_two_writers_of_one_version_have_one_winner_and_no_update_is_lost(
        self, world: World, store_factory: Callable[[], RecordStore]
    ) -> None:
        runs = [world.started().run_id for _ in range(4)]
        rounds = 12
        won: list[tuple[str, int]] = []
        gate = threading.Barrier(THREADS)

        def writer(number: int) -> None:
            store = store_factory()
            try:
                for turn in range(rounds):
                    gate.wait()
                    record = store.lookup([runs[turn % len(runs)]])[runs[turn % len(runs)]]
                    gate.wait()  # everybody has read the same version
                    (result,) = store.commit([world.move(record, f"status-{number}")])
                    if result.outcome is CommitOutcome.APPLIED:
                        won.append((record.run_id, record.version + 1))
            finally:
                store.close()

        _run_all(writer)
        assert len(won) == len(set(won)) == rounds, "each version had one winner, and each round a winner"
        for run_id in runs:
            versions = [row.version for row in world.store.history(run_id)]
            assert versions == list(range(1, world.run(run_id).version + 1))

    def test_twenty_starts_of_one_foreign_id_at_once_start_one_run(
        self, world: World, store_factory: Callable[[], RecordStore]
    ) -> None:
        outcomes: list[tuple[bool, str | None]] = []
        gate = threading.Barrier(THREADS)

        def trigger(number: int) -> None:
            store = store_factory()
            try:
                gate.wait()
                for _ in range(3):
                    change = world.start("order-1")
                    (result,) = store.commit([change])
                    assert result.applied or result.refusal is Refusal.IN_PROGRESS
                    outcomes.append((result.applied, result.run_id))
            finally:
                store.close()

        _run_all(trigger)
        assert [applied for applied, _ in outcomes].count(True) == 1
        assert len({run_id for applied, run_id in outcomes if not applied}) == 1

    def test_no_row_is_claimed_twice(self, world: World, store_factory: Callable[[], RecordStore]) -> None:
        made = {world.started().run_id for _ in range(120)}
        taken: list[str] = []
        gate = threading.Barrier(THREADS)

        def claimer(number: int) -> None:
            store, owner = store_factory(), world.owner()
            try:
                gate.wait()
                empty = 0
                while empty < 3:  # rows that another claim is just taking may be passed over: ask again
                    got = store.claim(NAMESPACE, owner, [TopicQuota("orders/created", 7)])
                    empty = 0 if got else empty + 1
                    taken.extend(claimed.row.row_id for claimed in got)
            finally:
                store.close()

        _run_all(claimer)
        assert len(taken) == len(set(taken))
        assert set(taken) == made

    def test_a_pause_never_falls_between_a_claim_and_the_commit_of_its_step(
        self, world: World, store_factory: Callable[[], RecordStore]
    ) -> None:
        lost: list[str] = []
        for _ in range(15):
            record, owner = world.started(), world.owner()
            gate = threading.Barrier(2)

            def step(record: object = record, owner: str = owner, gate: threading.Barrier = gate) -> None:
                store = store_factory()
                try:
                    gate.wait()
                    claimed = store.claim(NAMESPACE, owner, [TopicQuota("orders/created", 1)])
                    for one in claimed:
                        assert one.run is not None
                        if one.run.state is RunState.INITIATED:
                            (result,) = store.commit([world.move(one.run, "paid")])
                            if not result.applied:
                                lost.append(one.run.run_id)
                finally:
                    store.close()

            def pause(run_id: str = record.run_id, gate: threading.Barrier = gate) -> None:
                store = store_factory()
                try:
                    gate.wait()
                    current = store.lookup([run_id])[run_id]
                    store.commit([world.stop(current, RunState.PAUSED, unless_claimed=True)])
                finally:
                    store.close()

            with ThreadPoolExecutor(2) as pool:
                for future in [pool.submit(step), pool.submit(pause)]:
                    future.result()
        assert lost == [], "a step that was claimed could not commit"


def _run_all(work: Callable[[int], None]) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        for future in [pool.submit(work, number) for number in range(THREADS)]:
            future.result(timeout=100)
