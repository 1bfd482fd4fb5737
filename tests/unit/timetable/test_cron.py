"""Cron expressions: what is understood, what is refused and with what help, and what it means in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowdsl.cron import MAX_TEXT, WORDS, parse
from flowdsl.errors import TimetableError
from flowdsl.timetable import Timetable

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)  # a Thursday


def next_of(spec: str, count: int = 3, name: str = "") -> list[str]:
    return [f"{firing:%Y-%m-%d %H:%M:%S}" for firing in Timetable(spec, name=name).preview(NOON, count)]


@pytest.mark.parametrize(
    ("spec", "firings"),
    [
        ("0 9 * * 1-5", ["2026-01-02 09:00:00", "2026-01-05 09:00:00", "2026-01-06 09:00:00"]),
        ("*/5 * * * *", ["2026-01-01 12:05:00", "2026-01-01 12:10:00", "2026-01-01 12:15:00"]),
        ("10-40/15 * * * *", ["2026-01-01 12:10:00", "2026-01-01 12:25:00", "2026-01-01 12:40:00"]),
        ("1,15 13 * * *", ["2026-01-01 13:01:00", "2026-01-01 13:15:00", "2026-01-02 13:01:00"]),
        ("59/15 * * * *", ["2026-01-01 12:59:00", "2026-01-01 13:59:00", "2026-01-01 14:59:00"]),
        ("0 0 * MAR-apr MON", ["2026-03-02 00:00:00", "2026-03-09 00:00:00", "2026-03-16 00:00:00"]),
        ("0 0 * * 7", ["2026-01-04 00:00:00", "2026-01-11 00:00:00", "2026-01-18 00:00:00"]),
        ("0 0 ? * 0", ["2026-01-04 00:00:00", "2026-01-11 00:00:00", "2026-01-18 00:00:00"]),
        ("0 0 13 * 5", ["2026-01-02 00:00:00", "2026-01-09 00:00:00", "2026-01-13 00:00:00"]),
        ("0 0 30 2 0", ["2026-02-01 00:00:00", "2026-02-08 00:00:00", "2026-02-15 00:00:00"]),
        ("0 0 31 6 1", ["2026-06-01 00:00:00", "2026-06-08 00:00:00", "2026-06-15 00:00:00"]),
        ("0 0 L * *", ["2026-01-31 00:00:00", "2026-02-28 00:00:00", "2026-03-31 00:00:00"]),
        ("0 0 31 * *", ["2026-01-31 00:00:00", "2026-03-31 00:00:00", "2026-05-31 00:00:00"]),
        ("0 0 15W * *", ["2026-01-15 00:00:00", "2026-02-16 00:00:00", "2026-03-16 00:00:00"]),
        ("0 0 * * 5#2", ["2026-01-09 00:00:00", "2026-02-13 00:00:00", "2026-03-13 00:00:00"]),
        ("0 0 * * L5", ["2026-01-30 00:00:00", "2026-02-27 00:00:00", "2026-03-27 00:00:00"]),
        ("0 0 29 2 *", ["2028-02-29 00:00:00", "2032-02-29 00:00:00", "2036-02-29 00:00:00"]),
        ("0 12 * * * 30", ["2026-01-01 12:00:30", "2026-01-02 12:00:30", "2026-01-03 12:00:30"]),
        ("* * * * * */20", ["2026-01-01 12:00:20", "2026-01-01 12:00:40", "2026-01-01 12:01:00"]),
        ("0 0 1 1 * 0 2030/40", ["2030-01-01 00:00:00", "2070-01-01 00:00:00"]),
        ("  0\t9 * *   1 ", ["2026-01-05 09:00:00", "2026-01-12 09:00:00", "2026-01-19 09:00:00"]),
        ("@yearly", ["2027-01-01 00:00:00", "2028-01-01 00:00:00", "2029-01-01 00:00:00"]),
        ("@annually", ["2027-01-01 00:00:00", "2028-01-01 00:00:00", "2029-01-01 00:00:00"]),
        ("@monthly", ["2026-02-01 00:00:00", "2026-03-01 00:00:00", "2026-04-01 00:00:00"]),
        ("@weekly", ["2026-01-04 00:00:00", "2026-01-11 00:00:00", "2026-01-18 00:00:00"]),
        ("@daily", ["2026-01-02 00:00:00", "2026-01-03 00:00:00", "2026-01-04 00:00:00"]),
        ("@Midnight", ["2026-01-02 00:00:00", "2026-01-03 00:00:00", "2026-01-04 00:00:00"]),
        ("@hourly", ["2026-01-01 13:00:00", "2026-01-01 14:00:00", "2026-01-01 15:00:00"]),
        ("@every 90m", ["2026-01-01 13:30:00", "2026-01-01 15:00:00", "2026-01-01 16:30:00"]),
        (" @every  1h30m ", ["2026-01-01 13:30:00", "2026-01-01 15:00:00", "2026-01-01 16:30:00"]),
        ("@every 1.5h", ["2026-01-01 13:30:00", "2026-01-01 15:00:00", "2026-01-01 16:30:00"]),
        ("@every 1s", ["2026-01-01 12:00:01", "2026-01-01 12:00:02", "2026-01-01 12:00:03"]),
    ],
)
def test_an_expression_fires_when_it_says(spec: str, firings: list[str]) -> None:
    assert next_of(spec) == firings


def test_the_next_firing_is_strictly_later_to_the_microsecond() -> None:
    timetable = Timetable("0 12 * * *")
    microsecond = timedelta(microseconds=1)

    assert timetable.after(NOON - microsecond) == NOON
    assert timetable.after(NOON) == timetable.after(NOON + microsecond) == NOON + timedelta(days=1)


def test_a_leap_day_comes_although_the_last_one_is_just_past() -> None:
    assert Timetable("0 0 29 2 *").after(datetime(2024, 2, 29, 12, tzinfo=UTC)) == datetime(2028, 2, 29, tzinfo=UTC)


def test_a_leap_day_on_a_weekday_is_found_decades_ahead_and_quickly() -> None:
    assert next_of("0 0 29 2 * 0 2096") == ["2096-02-29 00:00:00"]


def test_when_the_years_of_an_expression_are_over_there_is_no_next_firing() -> None:
    timetable = Timetable("0 0 1 1 * 0 2020")  # it fired once, so code that declares it can still be imported

    assert timetable.after(NOON) is None
    assert timetable.preview(NOON, 3) == []


def test_h_follows_from_the_name_so_that_schedules_spread_and_everybody_agrees() -> None:
    spread = {next_of("H H * * *", 1, f"customer-{number}")[0] for number in range(50)}

    assert next_of("H H * * *", name="a") == next_of("H H * * *", name="a")
    assert len(spread) > 40


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("", "is no cron expression"),
        ("* * * *", "has 4 fields, not 5, 6 or 7"),
        ("* * * * * * * *", "has 8 fields"),
        ("noon", "has 1 field,"),
        ("0 0 31 2 *", "never fires"),
        ("0 0 30,31 feb *", "never fires"),
        ("0 0 29 2 * 0 2023", "never fires"),
        ("0 9 * * MOON", "the weekday 'moon' of the cron expression '0 9 * * MOON' cannot be understood. Did you mean MON?"),
        ("0 9 * jab *", "Did you mean JAN?"),
        ("61 * * * *", "It takes 0-59"),
        ("* 24 * * *", "It takes 0-23"),
        ("* * 32 * *", "It takes 1-31"),
        ("* * * 13 *", "It takes 1-12, JAN to DEC"),
        ("* * * * 8", "It takes 0-7"),
        ("* * * * * 60", "It takes 0-59"),
        ("* * * * * * 1969", "It takes 1970-2099"),
        ("-1 * * * *", "the minute '-1'"),
        ("*/0 * * * *", "the minute '*/0'"),
        ("1-2-3 * * * *", "the minute '1-2-3'"),
        ("* * * * 5#6", "the weekday '5#6'"),
        ("R * * * *", "Write H instead of R"),
        ("0 0 13 * 5#2", "has a day and a weekday"),
        ("0 0 15W * 1", "has a day and a weekday"),
        ("@dayly", "Did you mean @daily?"),
        ("@reboot", "is unknown. Known: @yearly"),
        ("@every", "has no duration"),
        ("@every 5", "has no duration"),
        ("@every -5m", "has no duration"),
        ("@every 5m 3s", "has no duration"),
        ("@every 0s", "no duration that a schedule can have"),
        ("@every 500ms", "has no duration"),
        ("@every 0.5s", "no duration that a schedule can have"),
        ("@every 1.5s", "no duration that a schedule can have"),
        (f"@every {10**20}w", "longer than a calendar"),
        ("０ 9 * * *", "characters outside ASCII"),
        ("0\u00a09 * * *", "characters outside ASCII"),
        ("0 " * MAX_TEXT, f"at most {MAX_TEXT} characters"),
    ],
)
def test_a_refusal_says_what_is_wrong_and_what_to_do(spec: str, says: str) -> None:
    with pytest.raises(TimetableError) as refused:
        parse(spec)
    assert says in str(refused.value)
    assert refused.value.remedy


def test_what_is_no_text_is_refused() -> None:
    for spec in (None, 5, b"* * * * *"):
        with pytest.raises(TimetableError, match="is no cron expression"):
            parse(spec)  # type: ignore[arg-type]


@given(st.one_of(st.text(max_size=40), st.text("0123456789*/,-#?LWHRlwhr @everymond.()", max_size=40)))
def test_any_text_is_understood_or_refused_as_an_error_of_ours(text: str) -> None:
    try:
        timetable = Timetable(text, name="n")
    except TimetableError as error:
        assert error.remedy  # noqa: PT017 - either is fine
        return
    firings = timetable.preview(NOON, 3)
    assert sorted(set(firings)) == firings
    assert timetable.describe()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("0 9 * * 1-5", "at 09:00, on Monday to Friday"),
        ("*/15 9-17 * * MON,WED,FRI", "every 15 minutes, hours 9 to 17, on Monday, Wednesday, Friday"),
        ("0 0 L * *", "at 00:00, on the last day"),
        ("0 0 1,L * *", "at 00:00, on days 1, the last day"),
        ("0 0 * * 1#1,3#3", "at 00:00, on the first Monday and the third Wednesday"),
        ("0 0 * * L5", "at 00:00, on the last Friday"),
        ("* * * * *", "every minute"),
        ("* * * * * */5", "every 5 seconds"),
        ("5,6 * * * *", "minutes 5, 6"),
        ("30 * * * *", "minute 30"),
        ("0 12 1,15 * 1", "at 12:00, on days 1, 15 or on Monday"),
        ("0 0 15W 1-3,7 * 0 2030", "at 00:00, on day 15W, in January to March, July, in 2030"),
        ("@daily", "at 00:00"),
    ],
)
def test_an_expression_is_told_in_words(spec: str, words: str) -> None:
    assert parse(spec).describe() == words
    assert Timetable(spec, "Europe/London").describe() == f"{words} (Europe/London)"


def test_every_word_is_its_own_expression() -> None:
    for word, spec in WORDS.items():
        assert next_of(word, 20) == next_of(spec, 20)


@pytest.mark.parametrize(
    ("spec", "words"), [("@every 90m", "1h30m"), ("@every 3s", "3s"), ("@every 336h", "2w"), ("@every 90061s", "1d1h1m1s")]
)
def test_a_duration_is_told_in_units(spec: str, words: str) -> None:
    assert Timetable(spec).describe() == f"every {words}, counted from 1970 in UTC"
