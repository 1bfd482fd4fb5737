"""Durations in words."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flowdsl.graph.spelling import duration_text


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(days=3), "3 days"),
        (timedelta(days=1, hours=12), "1 day 12 h"),
        (timedelta(minutes=90), "1 h 30 min"),
        (timedelta(seconds=1.5), "1.5 s"),
        (timedelta(minutes=1, milliseconds=250), "1 min 0.25 s"),
        (timedelta(milliseconds=20), "20 ms"),
        (timedelta(0), "0 s"),
        (timedelta(days=-1), "-1 day"),
    ],
)
def test_a_duration_is_written_as_people_say_it(span: timedelta, text: str) -> None:
    assert duration_text(span) == text
