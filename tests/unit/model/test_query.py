"""What a question about runs may ask for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowdsl.model.query import MAX_PAGE, Cursor, QueryError, RunQuery


def test_a_page_holds_25_runs_unless_told_otherwise() -> None:
    assert RunQuery().limit == 25


@pytest.mark.parametrize("limit", [1, MAX_PAGE])
def test_a_page_may_hold_one_run_or_many(limit: int) -> None:
    assert RunQuery(limit=limit).limit == limit


@pytest.mark.parametrize("limit", [0, -1, MAX_PAGE + 1])
def test_a_page_of_none_or_of_too_many_is_refused_with_what_can_be_asked(limit: int) -> None:
    with pytest.raises(QueryError, match="Ask for 1 to 500"):
        RunQuery(limit=limit)


@pytest.mark.parametrize("name", ["created_after", "created_before"])
def test_a_time_without_a_zone_is_refused(name: str) -> None:
    moment = datetime(2026, 1, 1)  # noqa: DTZ001 - that is the point

    with pytest.raises(QueryError, match=f"{name} has no time zone"):
        RunQuery(**{name: moment})  # type: ignore[arg-type]


@given(st.datetimes(timezones=st.just(UTC)), st.text(max_size=40))
def test_a_cursor_comes_back_from_its_text(moment: datetime, run_id: str) -> None:
    cursor = Cursor(moment, run_id)

    assert Cursor.decode(cursor.encode()) == cursor


@pytest.mark.parametrize("text", ["", "x", "ü", "W10", "eyJhIjoxfQ", "5"])
def test_a_text_that_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(QueryError, match="not a page cursor"):
        Cursor.decode(text)
