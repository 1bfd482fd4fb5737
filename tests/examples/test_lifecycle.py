"""The examples on callbacks, timeouts, hooks and personal data."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from examples.callback import __main__ as callback_program
from examples.callback import deliveries
from examples.hooks import __main__ as hooks_program
from examples.hooks import imports
from examples.pii import __main__ as pii_program
from examples.pii import applications
from examples.timeout import __main__ as timeout_program
from examples.timeout import reservations
from flowdsl import CallbackOutcome, Engine, RunState
from flowdsl.testing.transitions import assert_transitions

Make = Callable[..., Any]
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.mark.parametrize("main", [callback_program.main, timeout_program.main, hooks_program.main, pii_program.main])
def test_every_program_runs(main: Callable[[], int], capsys: pytest.CaptureFixture[str]) -> None:
    assert main() == 0
    assert capsys.readouterr().out


def test_a_webhook_that_comes_early_is_applied_when_its_time_has_come(flow_engine: Make) -> None:
    thanked: list[str] = []
    flow = deliveries.build(thanked.append)
    engine, status = flow_engine(flow), deliveries.Status
    handle = engine.trigger(flow, "p", deliveries.Delivery("here"))

    early = engine.callback(flow, "p", status.WITH_COURIER, deliveries.HandOver("Grace"), idempotency_key="2")
    assert early.outcome is CallbackOutcome.KEPT
    assert engine.callback(flow, "p", status.BOOKED, deliveries.PickUp("Ada")).outcome is CallbackOutcome.APPLIED
    engine.run_until_idle()

    assert_transitions(handle, status.BOOKED, status.WITH_COURIER, status.DELIVERED)
    assert handle.run().object == deliveries.Delivery("here", "Ada", "Grace")
    assert thanked == ["Ada"]
    again = engine.callback(flow, "p", status.WITH_COURIER, deliveries.HandOver("Grace"), idempotency_key="2")
    assert again.outcome is CallbackOutcome.DUPLICATE


def test_what_was_kept_too_long_becomes_a_dead_letter(flow_engine: Make) -> None:
    flow = deliveries.build(lambda driver: None)
    engine, status = flow_engine(flow), deliveries.Status
    handle = engine.trigger(flow, "p", deliveries.Delivery("here"))
    engine.callback(flow, "p", status.WITH_COURIER, deliveries.HandOver("Grace"))

    engine.advance(3 * DAY)
    engine.callback(flow, "p", status.BOOKED, deliveries.PickUp("Ada"))
    engine.run_until_idle()

    assert handle.record().status == "with_courier"
    (letter,) = engine.dead_letters.list().letters
    assert (letter.foreign_id, letter.name) == ("p", "handed_over")


def test_a_reservation_is_reminded_of_once_and_ends_at_its_own_time(flow_engine: Make) -> None:
    reminded: list[str] = []
    flow = reservations.build(reminded.append)
    engine = flow_engine(flow)
    handle = engine.trigger(flow, "ada", reservations.Reservation("1a", engine.clock.now() + DAY))

    engine.advance(DAY - HOUR - timedelta(seconds=1))
    assert reminded == []
    engine.advance(timedelta(seconds=1))
    assert reminded == ["ada"]
    engine.advance(HOUR)

    assert reminded == ["ada"]
    assert handle.record().status == "given_up"


def test_a_paused_reservation_keeps_what_is_left_of_its_time(flow_engine: Make) -> None:
    flow = reservations.build(lambda name: None)
    engine = flow_engine(flow)
    handle = engine.trigger(flow, "ada", reservations.Reservation("1a", engine.clock.now() + DAY, reminded=True))
    engine.advance(DAY / 2)
    handle.pause("a question")
    engine.advance(30 * DAY)
    handle.resume()

    engine.advance(DAY / 2 - HOUR)
    assert handle.record().status == "held"
    engine.advance(HOUR)
    assert handle.record().status == "given_up"


def test_the_team_hears_of_everything(flow_engine: Make) -> None:
    told: list[str] = []
    flow = imports.build(told.append)
    engine = flow_engine(flow)
    for file in hooks_program.FILES:
        engine.trigger(flow, file.name, file)

    engine.advance(timedelta(minutes=1))

    assert sorted(told) == [
        "damaged.csv: attempt 1 failed, ValueError: the file is damaged",
        "damaged.csv: attempt 2 failed, ValueError: the file is damaged",
        "damaged.csv: stuck, step read failed 2 times in a row (ValueError: the file is damaged)",
        "empty.csv: not stored, it is empty",
        "good.csv: stored",
    ]


def test_a_deleted_applicant_is_found_in_no_table(tmp_path: Path) -> None:
    flow, file = applications.build(), tmp_path / "a.db"
    nonsense = applications.Application("Canary Nightingale", "canary@example.org", -1)
    with Engine.from_url(flow, store=f"sqlite:///{file}") as engine:
        handle = engine.trigger(flow, "application-1", nonsense)
        handle.wait(timeout=timedelta(seconds=30))
        assert "Canary" in dump(file)
        handle.delete_data("asked for")
        while handle.receipt() is None:
            engine.runs(limit=1)

        assert handle.record().state is RunState.DATA_DELETED
        assert handle.run().object == applications.Application("", "", 0)
        assert "canary" not in dump(file).lower()


def dump(file: Path) -> str:
    """Every value of every table."""
    with closing(sqlite3.connect(file)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return "\n".join(repr(row) for table in tables for row in connection.execute(f"SELECT * FROM {table}"))  # noqa: S608
