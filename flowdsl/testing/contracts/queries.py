"""Queries: filters, order and pages."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flowdsl.errors import StoreError
from flowdsl.model.query import Order, RunQuery
from flowdsl.model.run_state import RunState
from flowdsl.testing.contracts.samples import SECOND, World


class QueryRules:
    @pytest.mark.parametrize("order", list(Order))
    def test_pages_are_disjoint_complete_and_in_order_while_new_runs_arrive(self, world: World, order: Order) -> None:
        made = []
        for index in range(23):
            made.append(world.started().run_id)
            if index % 3 == 0:  # runs of one moment must be told apart too
                world.clock.advance(SECOND)
        seen: list[str] = []
        query = RunQuery(order=order, limit=5)
        while True:
            page = world.store.runs(query)
            seen += [run.run_id for run in page.runs]
            if page.next is None:
                break
            assert len(page.runs) == 5
            world.clock.advance(SECOND)
            world.started()
            query = RunQuery(order=order, limit=5, after=page.next)
            if len(seen) > 200:
                pytest.fail("the pages never end")
        old = [run_id for run_id in seen if run_id in made]
        assert len(seen) == len(set(seen))
        assert set(old) == set(made)
        times = [world.run(run_id).created_at for run_id in seen]
        assert times == sorted(times, reverse=order is Order.NEWEST_FIRST)

    def test_a_full_last_page_has_no_next(self, world: World) -> None:
        for _ in range(4):
            world.started()
        assert world.store.runs(RunQuery(limit=4)).next is None
        assert world.store.runs(RunQuery(limit=3)).next is not None

    def test_each_filter_selects_and_they_combine_with_and(self, world: World) -> None:
        a = world.started("a")
        b = world.started("b", status="paid", row=None)
        c = world.started("c,d", workflow="refunds")
        world.commit(world.stop(b, RunState.PAUSED))
        world.started("a", namespace="other")

        def found(**filters: object) -> set[str]:
            return {run.run_id for run in world.store.runs(RunQuery(**filters)).runs}  # type: ignore[arg-type]

        assert found() == {a.run_id, b.run_id, c.run_id}
        assert found(workflows=("orders",)) == {a.run_id, b.run_id}
        assert found(workflows=("orders", "refunds")) == {a.run_id, b.run_id, c.run_id}
        assert found(foreign_ids=("a", "c,d")) == {a.run_id, c.run_id}
        assert found(foreign_ids=("c",)) == set()
        assert found(statuses=("paid",)) == {b.run_id}
        assert found(states=(RunState.PAUSED, RunState.CANCELLED)) == {b.run_id}
        assert found(states=(RunState.INITIATED,), foreign_ids=("a", "b")) == {a.run_id}
        assert found(statuses=("created",), workflows=("refunds",)) == {c.run_id}
        assert found(foreign_ids=("' OR 1=1 --",)) == set()
        assert found(namespace="other") != set()

    def test_created_after_and_before_are_strict_and_combine(self, world: World) -> None:
        runs = []
        for _ in range(3):
            runs.append(world.started())
            world.clock.advance(SECOND)

        def found(**filters: object) -> list[str]:
            return [run.run_id for run in world.store.runs(RunQuery(order=Order.OLDEST_FIRST, **filters)).runs]  # type: ignore[arg-type]

        ids = [run.run_id for run in runs]
        assert found(created_after=runs[0].created_at) == ids[1:]
        assert found(created_before=runs[2].created_at) == ids[:2]
        assert found(created_after=runs[0].created_at, created_before=runs[2].created_at) == [ids[1]]
        tiny = timedelta(microseconds=1)
        assert found(created_after=runs[2].created_at - tiny) == [ids[2]]

    def test_filters_hold_on_every_page(self, world: World) -> None:
        wanted = []
        for index in range(12):
            record = world.started(f"order-{index}", workflow="orders" if index % 2 else "refunds")
            if index % 2:
                wanted.append(record.run_id)
        first = world.store.runs(RunQuery(workflows=("orders",), order=Order.OLDEST_FIRST, limit=4))
        second = world.store.runs(RunQuery(workflows=("orders",), order=Order.OLDEST_FIRST, limit=4, after=first.next))
        assert [run.run_id for run in (*first.runs, *second.runs)] == wanted

    def test_rows_of_several_runs_come_by_row_id(self, world: World) -> None:
        ids = sorted(world.started().run_id for _ in range(3))
        assert [row.row_id for row in world.store.rows([*reversed(ids), "nobody"])] == ids

    def test_the_store_tells_its_time(self, world: World) -> None:
        assert world.store.now() == world.clock.now()

    def test_a_closed_store_says_so(self, world: World) -> None:
        world.store.close()
        with pytest.raises(StoreError):
            world.store.lookup(["x"])
        with pytest.raises(StoreError):
            world.store.commit([world.start()])
