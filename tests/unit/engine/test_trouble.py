"""Trouble that lasts is told, and not every second."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest

from flowdsl.engine.trouble import REMIND, Trouble
from flowdsl.testing.clock import ManualClock

log = logging.getLogger("flowdsl.test")


def levels(caplog: pytest.LogCaptureFixture) -> list[int]:
    return [record.levelno for record in caplog.records]


@pytest.fixture(autouse=True)
def heard(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "flowdsl.test")


def test_it_is_told_when_it_begins_once_a_minute_and_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    trouble = Trouble(log, clock, "receiving")
    for _ in range(int(2 * REMIND) + 1):
        trouble.failed(OSError("no route"))
        clock.advance(timedelta(seconds=1))
    assert levels(caplog).count(logging.WARNING) == 3
    assert caplog.messages[0] == "receiving failed: no route"
    caplog.clear()

    trouble.over()
    trouble.over()

    assert caplog.messages == ["receiving works again, after 121 s"]


def test_what_begins_anew_is_told_at_once(caplog: pytest.LogCaptureFixture) -> None:
    trouble = Trouble(log, ManualClock(), "receiving")
    for _ in range(2):
        trouble.failed(OSError("no route"))
        trouble.over()
    assert levels(caplog) == [logging.WARNING, logging.INFO] * 2


def test_nothing_is_said_of_what_works(caplog: pytest.LogCaptureFixture) -> None:
    Trouble(log, ManualClock(), "receiving").over()
    assert caplog.messages == []
