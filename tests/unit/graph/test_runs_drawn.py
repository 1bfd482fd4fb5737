"""What is known of runs, drawn on a diagram: the traffic of many, the path of one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from flowdsl.graph.build import FlowGraph
from flowdsl.graph.diagram import Diagram, Mark
from flowdsl.graph.moves import Way, moves
from flowdsl.graph.path import path, with_moves
from flowdsl.graph.spelling import rough_text
from flowdsl.graph.traffic import Traffic, percentile
from flowdsl.model.history import Cause, HistoryRow
from flowdsl.model.record import RunRecord
from flowdsl.model.run_state import RunState
from tests.unit.graph.graphs import PICKUP, graph_of, written

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
R, P, C, X = RunState.RUNNING, RunState.PAUSED, RunState.COMPLETED, RunState.CANCELLED

Line = tuple[str, Cause, str, int, int, RunState]
"""To which status, why, by which function, seconds since the row before, attempt, state."""


def history_of(*lines: Line, start: str = "created") -> list[HistoryRow]:
    first = HistoryRow(
        run_id="r", version=1, from_status=None, to_status=start, from_state=RunState.INITIATED, to_state=RunState.INITIATED,
        cause=Cause.TRIGGER, name="", actor="ada", reason=None, error=None, attempt=1, change_id="c", at=BEGAN,
    )  # fmt: skip
    rows = [first]
    for target, cause, name, seconds, attempt, state in lines:
        last = rows[-1]
        change = {"version": last.version + 1, "at": last.at + timedelta(seconds=seconds), "cause": cause, "name": name}
        way = {"from_status": last.to_status, "to_status": target, "from_state": last.to_state, "to_state": state}
        rows.append(replace(first, **change, **way, attempt=attempt))
    return rows


def record_of(history: list[HistoryRow]) -> RunRecord:
    last = history[-1]
    return RunRecord(
        workflow="orders", run_id="r", foreign_id="f", status=last.to_status, state=last.to_state, version=last.version,
        payload=None, created_at=BEGAN, updated_at=last.at, change_id="c",
    )  # fmt: skip


SHIPPED = history_of(
    ("paid", Cause.STEP, "charge", 10, 3, R),
    ("awaiting_pickup", Cause.STEP, "book_courier", 5, 1, R),
    ("shipped", Cause.CALLBACK, "picked_up", 3600, 1, C),
)


def traffic(*histories: list[HistoryRow], graph: FlowGraph = PICKUP) -> Diagram:
    counted = Traffic()
    for history in histories:
        counted.add(record_of(history), history)
    assert counted.runs == len(histories)
    return counted.drawn(graph.diagram())


def badges(diagram: Diagram) -> dict[str, tuple[str, ...]]:
    """Of statuses, and of ways as source>target."""
    statuses = {node.id: node.status for node in diagram.nodes}
    found = {node.status: node.badge for node in diagram.nodes if node.badge}
    for arrow in diagram.arrows:
        for branch in arrow.branches:
            if branch.badge:
                found[f"{statuses[arrow.source]}>{statuses[branch.target]}"] = branch.badge
    return found


def marks(diagram: Diagram) -> dict[str, Mark]:
    return {node.status: node.mark for node in diagram.nodes if node.mark is not Mark.NONE}


def test_counts_times_and_failures_stand_at_statuses_and_ways() -> None:
    waiting = history_of(("paid", Cause.STEP, "charge", 30, 1, R), ("awaiting_pickup", Cause.STEP, "book_courier", 1, 1, R))
    paused = history_of(("paid", Cause.STEP, "charge", 20, 1, R), ("paid", Cause.ERRORS, "", 9, 1, P))
    cancelled = history_of(("created", Cause.CONTROL, "", 1, 1, X))
    diagram = traffic(SHIPPED, waiting, paused, cancelled)

    assert badges(diagram) == {
        "created": ("1 cancelled", "p50 20 s, p95 30 s"),
        "paid": ("1 paused", "p50 1 s, p95 5 s"),
        "awaiting_pickup": ("1 here", "p50 1 h, p95 1 h"),
        "shipped": ("1 ended",),
        "created>paid": ("3 runs", "2 failed attempts"),
        "paid>awaiting_pickup": ("2 runs",),
        "awaiting_pickup>shipped": ("1 run",),
    }
    assert marks(diagram) == {"paid": Mark.FAILING, "awaiting_pickup": Mark.CURRENT}


def test_a_way_is_failing_from_a_tenth_of_failed_attempts() -> None:
    def mark(failed: int, runs: int) -> Mark:
        histories = [history_of(("paid", Cause.STEP, "charge", 1, 1 + failed * (number == 0), R)) for number in range(runs)]
        return next(arrow for arrow in traffic(*histories).arrows if arrow.label == "charge").branches[0].mark

    assert (mark(0, 9), mark(1, 10), mark(1, 9)) == (Mark.PASSED, Mark.PASSED, Mark.FAILING)


def test_a_pause_belongs_to_the_stay_and_a_repeat_is_no_move() -> None:
    history = history_of(
        ("created", Cause.REPEAT, "charge", 10, 1, R),
        ("created", Cause.STEP, "charge", 10, 1, P),
        ("created", Cause.CONTROL, "", 10, 1, R),
        ("paid", Cause.STEP, "charge", 10, 1, R),
    )
    (move,) = moves(history)

    assert (move.way, move.stayed) == (Way("created", "paid", "charge"), timedelta(seconds=40))


def test_a_step_that_leads_back_to_its_own_status_is_a_move() -> None:
    history = history_of(("a", Cause.STEP, "step_a", 10, 1, R), ("b", Cause.STEP, "step_a", 5, 1, C), start="a")

    assert [(move.way.target, move.stayed.seconds) for move in moves(history)] == [("a", 10), ("b", 5)]
    assert badges(traffic(history, graph=graph_of(("a", "a"), ("a", "b"))))["a>a"] == ("1 run",)


def test_a_run_without_history_is_counted_where_it_is() -> None:
    assert badges(traffic(history_of()))["created"] == ("1 here",)
    assert list(moves([])) == []


def test_the_path_numbers_the_ways_and_says_how_long_the_run_was_where() -> None:
    now = BEGAN + timedelta(days=9)
    diagram = path(PICKUP.diagram(), record_of(SHIPPED), SHIPPED, now)

    assert badges(diagram) == {
        "created": ("10 s",),
        "paid": ("5 s",),
        "awaiting_pickup": ("1 h",),
        "created>paid": ("1",),
        "paid>awaiting_pickup": ("2",),
        "awaiting_pickup>shipped": ("3",),
    }
    assert marks(diagram)["shipped"] is Mark.CURRENT
    assert "old_paid" not in marks(diagram)


def test_an_unfinished_run_is_where_it_is_since_it_came_and_rounds_are_numbered_together() -> None:
    history = history_of(
        ("paid", Cause.STEP, "charge", 10, 1, R),
        ("awaiting_pickup", Cause.STEP, "book_courier", 5, 1, R),
        ("paid", Cause.CALLBACK, "refused", 60, 1, R),
        ("awaiting_pickup", Cause.STEP, "book_courier", 5, 1, R),
    )
    found = badges(path(PICKUP.diagram(), record_of(history), history, BEGAN + timedelta(seconds=100)))

    assert found["awaiting_pickup"] == ("here", "1 min 20 s")
    assert found["paid"] == ("10 s",)
    assert found["paid>awaiting_pickup"] == ("2, 4",)
    assert found["awaiting_pickup>paid"] == ("3",)


def test_moves_by_people_and_by_code_that_is_gone_are_drawn_as_well() -> None:
    history = history_of(
        ("shipped", Cause.CONTROL, "move", 10, 1, R), ("paid", Cause.STEP, "gone", 5, 1, R), ("paid", Cause.CONTROL, "", 1, 1, P)
    )
    graph = with_moves(PICKUP, history)
    captions = {arrow.caption for arrow in graph.diagram().arrows} - {arrow.caption for arrow in PICKUP.diagram().arrows}

    assert captions == {"move (by ada)", "gone"}
    assert with_moves(PICKUP, SHIPPED).edges == PICKUP.edges


def test_a_migration_without_a_function_is_the_one_of_the_graph() -> None:
    graph = written("orders", "created -> paid: step charge")
    edge = PICKUP.edges[-1]
    bare = FlowGraph("orders", [*graph.edges, type(edge)("old", "paid", edge.cause, "old -> paid", "")], {})
    history = history_of(("paid", Cause.MIGRATION, "old -> paid", 10, 1, R), start="old")

    assert with_moves(bare, history).edges == bare.edges
    assert badges(path(bare.diagram(), record_of(history), history, BEGAN))["old>paid"] == ("1",)


def test_without_the_code_the_history_is_all_there_is_to_draw() -> None:
    empty = FlowGraph("orders", [], {})
    drawn = path(with_moves(empty, SHIPPED).diagram(), record_of(SHIPPED), SHIPPED, BEGAN)
    fresh = path(with_moves(empty, history_of()).diagram(), record_of(history_of()), history_of(), BEGAN + timedelta(seconds=3))

    assert [node.status for node in drawn.nodes] == ["created", "paid", "awaiting_pickup", "shipped"]
    assert [(node.status, node.badge) for node in fresh.nodes] == [("created", ("here", "3 s"))]


@pytest.mark.parametrize(("percent", "value"), [(50, 5), (95, 10), (100, 10), (1, 1)])
def test_percentiles_are_by_nearest_rank(percent: int, value: int) -> None:
    assert percentile([timedelta(seconds=number) for number in range(1, 11)], percent) == timedelta(seconds=value)


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(days=3, hours=4, minutes=5), "3 days 4 h"),
        (timedelta(hours=2, seconds=59), "2 h"),
        (timedelta(minutes=3, seconds=4.9), "3 min 4 s"),
        (timedelta(seconds=1.27), "1.2 s"),
        (timedelta(microseconds=1234), "1 ms"),
        (timedelta(0), "0 s"),
    ],
)
def test_a_rough_time_has_two_units_at_most(span: timedelta, text: str) -> None:
    assert rough_text(span) == text
