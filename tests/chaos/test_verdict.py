"""The judge of the chaos is told of sound histories, and of broken ones."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
import pytest

from flowdsl.model.history import Cause, HistoryRow
from flowdsl.model.record import Payload, RunRecord
from flowdsl.model.run_state import RunState
from tests.chaos.fleet import Freeze
from tests.chaos.ledger import Call, Ledger
from tests.chaos.load import Stop
from tests.chaos.soak import Held, grown, left_over
from tests.chaos.verdict import Verdict, broken_effect, broken_history, broken_keys, calls_after_a_stop

AT = datetime(2026, 3, 1, tzinfo=UTC)
R, P, C = RunState.RUNNING, RunState.PAUSED, RunState.COMPLETED
STORY = [
    (None, "new", RunState.INITIATED, Cause.TRIGGER),
    ("new", "new", R, Cause.REPEAT),
    ("new", "packed", R, Cause.STEP),
    ("packed", "packed", P, Cause.CONTROL),
    ("packed", "packed", R, Cause.CONTROL),
    ("packed", "waiting", R, Cause.STEP),
    ("waiting", "expired", C, Cause.TIMEOUT),
]


def sound() -> list[HistoryRow]:
    rows: list[HistoryRow] = []
    before = RunState.UNKNOWN
    for version, (start, end, state, cause) in enumerate(STORY, start=1):
        rows.append(
            HistoryRow(
                run_id="r",
                version=version,
                from_status=start,
                to_status=end,
                from_state=before,
                to_state=state,
                cause=cause,
                name="",
                actor="",
                reason=None,
                error=None,
                attempt=1,
                change_id=f"c{version}",
                at=AT,
            )
        )
        before = state
    return rows


def run(
    version: int = len(STORY), state: RunState = C, trail: tuple[str, ...] = ("pack", "pack", "store", "expire")
) -> RunRecord:
    payload = Payload(msgspec.json.encode({"fate": "expired", "trail": trail}))
    return RunRecord(
        workflow="chaos",
        run_id="r",
        foreign_id="f",
        status="expired",
        state=state,
        version=version,
        payload=payload,
        created_at=AT,
        updated_at=AT,
        change_id="c",
    )


def changed(rows: list[HistoryRow], index: int, **changes: object) -> None:
    rows[index] = msgspec.structs.replace(rows[index], **changes)


def without_one(rows: list[HistoryRow]) -> None:
    del rows[2]


def without_the_last(rows: list[HistoryRow]) -> None:
    del rows[-1]


def a_change_twice(rows: list[HistoryRow]) -> None:
    changed(rows, 5, change_id="c3")


def out_of_another_status(rows: list[HistoryRow]) -> None:
    changed(rows, 5, from_status="new")


def moved_while_paused(rows: list[HistoryRow]) -> None:
    changed(rows, 4, cause=Cause.STEP)


def a_transition_twice(rows: list[HistoryRow]) -> None:
    changed(rows, 1, to_status="packed")
    changed(rows, 2, from_status="packed")


def a_transition_that_nobody_declared(rows: list[HistoryRow]) -> None:
    changed(rows, 6, to_status="done")


BROKEN = [
    (without_one, "gapless history"),
    (without_the_last, "gapless history"),
    (a_change_twice, "each transition once"),
    (out_of_another_status, "gapless history"),
    (moved_while_paused, "no step after a stop"),
    (a_transition_twice, "declared transitions only"),
    (a_transition_that_nobody_declared, "declared transitions only"),
]


def test_a_sound_history_is_left_alone() -> None:
    assert broken_history(run(), sound()) == []
    assert broken_effect(run()) is None


@pytest.mark.parametrize(("spoil", "promise"), BROKEN, ids=[spoil.__name__ for spoil, _ in BROKEN])
def test_a_broken_history_is_flagged(spoil: Callable[[list[HistoryRow]], None], promise: str) -> None:
    rows = sound()
    spoil(rows)

    assert any(wrong.startswith(promise) for wrong in broken_history(run(), rows))


def test_a_transition_made_again_is_flagged() -> None:
    rows = sound()
    again = msgspec.structs.replace(rows[2], version=4, from_status="new", change_id="again")

    assert any(wrong.startswith("each transition once") for wrong in broken_history(run(4), [*rows[:3], again]))


@pytest.mark.parametrize("trail", [("pack", "store", "expire"), ("pack", "pack", "store", "expire", "expire"), ()])
def test_an_effect_that_is_lost_or_doubled_is_flagged(trail: tuple[str, ...]) -> None:
    assert broken_effect(run(trail=trail)) is not None


def test_a_run_that_ended_early_need_not_hold_every_effect() -> None:
    assert broken_effect(run(state=RunState.CANCELLED, trail=("pack",))) is None
    assert broken_effect(run(state=RunState.CANCELLED, trail=("store",))) is not None


def call(at: float, pid: int = 1, key: str = "k") -> Call:
    return Call(at, pid, "r", "pack", 1, key)


def test_a_call_after_a_stop_is_flagged_unless_its_process_had_been_held() -> None:
    stops = [Stop("r", since=10, until=20)]
    verdict = Verdict()

    assert calls_after_a_stop(verdict, [call(9), call(21)], stops, []) == 0
    assert calls_after_a_stop(verdict, [call(15)], stops, [Freeze(1, since=9, until=14)]) == 1
    assert verdict.wrong == []

    calls_after_a_stop(verdict, [call(15, pid=2)], stops, [Freeze(1, since=9, until=14)])
    calls_after_a_stop(verdict, [call(19)], stops, [Freeze(1, since=9, until=14)])
    assert len(verdict.wrong) == 2


def test_two_keys_of_one_transition_are_flagged() -> None:
    verdict = Verdict()
    broken_keys(verdict, [call(1), call(2)])
    assert verdict.wrong == []

    broken_keys(verdict, [call(1), call(2, key="another")])
    assert len(verdict.wrong) == 1


def test_what_a_worker_holds_beyond_its_first_rest_is_flagged() -> None:
    first = Held(memory=80, threads=20, handles=30, sockets=10)

    assert grown(first, Held(memory=85, threads=21, handles=30, sockets=9)) == []
    assert len(grown(first, Held(memory=120, threads=40, handles=60, sockets=40))) == 4


def test_rows_that_stay_are_flagged() -> None:
    assert left_over({"flowdsl_run": 0}, {"flowdsl_run": 0}, workers=3, letters=2) == []
    assert left_over({"flowdsl_run": 0}, {"flowdsl_run": 3}, workers=3, letters=2) != []
    assert left_over({}, {"items: trigger_key": 9, "flowdsl_instance": 12}, workers=3, letters=2) == []
    assert left_over({}, {"items: dead_letter": 2}, workers=3, letters=2) == []
    assert left_over({}, {"items: dead_letter": 3}, workers=3, letters=2) != []
    assert left_over({}, {"items: auto_resume": 1, "flowdsl_instance": 13}, workers=3, letters=2) != []


def test_what_a_ledger_is_told_is_read_again(tmp_path: object) -> None:
    path = f"{tmp_path}/ledger"
    Ledger(path).note("r", "pack", 3, "key")

    (found,) = Ledger(path).calls()

    assert (found.run_id, found.name, found.task_version, found.key) == ("r", "pack", 3, "key")
