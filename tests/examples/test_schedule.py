"""The example with schedules: weeks of reports in milliseconds, and the program as its reader starts it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from examples.schedule import __main__ as program
from examples.schedule.reports import build, subscribe
from flowdsl.engine.engine import Engine
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.stepped import SteppedEngine

DAY = timedelta(days=1)


class Post:
    """What was sent, when and to whom."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.sent: list[tuple[str, str, str]] = []

    def __call__(self, to: str, text: str) -> None:
        self.sent.append((f"{self.clock.now():%a %d %H:%M}", to, text))


def test_on_working_days_at_nine_in_london_whatever_the_season() -> None:
    clock = ManualClock(datetime(2030, 3, 28, tzinfo=UTC))  # a Thursday; summer time begins on Sunday
    post = Post(clock)
    with SteppedEngine(build(lambda: 7, post), clock=clock) as engine:
        engine.advance(5 * DAY)

    assert post.sent == [
        ("Thu 28 09:00", "everybody", "report of 28 March: 7"),
        ("Fri 29 09:00", "everybody", "report of 29 March: 7"),
        ("Mon 01 08:00", "everybody", "report of 01 April: 7"),
    ]


def test_no_report_on_a_holiday() -> None:
    clock = ManualClock(datetime(2030, 12, 24, tzinfo=UTC))
    post = Post(clock)
    with SteppedEngine(build(lambda: 7, post), clock=clock) as engine:
        engine.advance(3 * DAY)

    assert [moment for moment, _, _ in post.sent] == ["Tue 24 09:00", "Thu 26 09:00"]


def test_a_customer_has_a_report_at_the_customers_own_times() -> None:
    clock = ManualClock(datetime(2030, 3, 30, tzinfo=UTC))
    post = Post(clock)
    reports = build(lambda: 7, post)
    with SteppedEngine(reports, clock=clock) as engine:
        subscribe(engine, reports, "acme", "0 6 * * *", "Asia/Tokyo")
        engine.advance(DAY)
        subscribe(engine, reports, "acme", "0 7 * * *", "Asia/Tokyo")
        engine.advance(DAY)

    assert post.sent == [
        ("Sat 30 21:00", "acme", "figures for acme: 7"),
        ("Sun 31 22:00", "acme", "figures for acme: 7"),
    ]


def test_the_program_sends_reports_and_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = f"sqlite:///{tmp_path}/reports.db"

    assert program.main(["--store", where, "--sent", "2"]) == 0

    out = capsys.readouterr().out
    assert "to " in out
    assert "acme" in out
    client = Engine.client(store=where)
    assert {schedule.name for schedule in client.schedules.list()} == {"acme", "everybody"}
    client.stop()
