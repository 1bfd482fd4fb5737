"""Options: what counts when a step, its workflow or nobody says something; 0, None and unset are three things."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowdsl.errors import OptionError
from flowdsl.options import (
    DEFAULT_LAG_ALERT,
    DEFAULT_POLLING_FREQUENCY,
    DEFAULT_RETRY,
    Retry,
    StepOptions,
    check_options,
    constant_retry,
    resolve,
)

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
OWN = Retry(backoff=HOUR, cap=HOUR)


def resolved(own: StepOptions, defaults: StepOptions | None = None, *, is_async: bool = False) -> Any:
    return resolve(own, defaults or {}, is_async=is_async)


UNSET: Any = ...
# option, the step's value, the workflow's value, what counts
TABLE = [
    ("parallel_count", UNSET, UNSET, None),
    ("parallel_count", UNSET, 3, 3),
    ("parallel_count", 2, 3, 2),
    ("parallel_count", None, 3, None),
    ("polling_frequency", UNSET, UNSET, DEFAULT_POLLING_FREQUENCY),
    ("polling_frequency", UNSET, SECOND, SECOND),
    ("polling_frequency", HOUR, SECOND, HOUR),
    ("polling_frequency", None, SECOND, None),
    ("lag_alert", UNSET, UNSET, DEFAULT_LAG_ALERT),
    ("lag_alert", UNSET, SECOND, SECOND),
    ("lag_alert", timedelta(0), SECOND, timedelta(0)),
    ("lag_alert", None, SECOND, None),
    ("consume_lag", UNSET, UNSET, timedelta(0)),
    ("consume_lag", UNSET, SECOND, SECOND),
    ("consume_lag", timedelta(0), SECOND, timedelta(0)),
    ("consume_lag", None, SECOND, timedelta(0)),
    ("pause_after_err_count", UNSET, UNSET, 10),
    ("pause_after_err_count", UNSET, 3, 3),
    ("pause_after_err_count", 0, 3, 0),
    ("pause_after_err_count", None, 3, 0),
    ("pause_on", UNSET, UNSET, ()),
    ("pause_on", UNSET, KeyError, (KeyError,)),
    ("pause_on", (OSError, ValueError), KeyError, (OSError, ValueError)),
    ("pause_on", None, KeyError, ()),
    ("pause_on", (), KeyError, ()),
    ("concurrency", UNSET, UNSET, 10),
    ("concurrency", UNSET, 3, 3),
    ("concurrency", None, 3, 10),
    ("time_limit", UNSET, UNSET, None),
    ("time_limit", UNSET, SECOND, SECOND),
    ("time_limit", None, SECOND, None),
]


@pytest.mark.parametrize(("name", "own", "default", "counts"), TABLE)
def test_the_steps_word_counts_then_the_workflows_then_the_librarys(name: str, own: Any, default: Any, counts: Any) -> None:
    options: Any = {} if own is UNSET else {name: own}
    defaults: Any = {} if default is UNSET else {name: default}
    check_options(options, "here")
    check_options(defaults, "here")
    assert getattr(resolved(options, defaults), name) == counts


def test_async_steps_have_a_greater_concurrency_by_default() -> None:
    assert resolved({}, is_async=True).concurrency == 100
    assert resolved({"concurrency": None}, {"concurrency": 3}, is_async=True).concurrency == 100


@pytest.mark.parametrize(
    ("own", "defaults", "retry"),
    [
        ({}, {}, DEFAULT_RETRY),
        ({"err_backoff": SECOND}, {}, constant_retry(SECOND)),
        ({"err_backoff": timedelta(0)}, {"err_backoff": SECOND}, constant_retry(timedelta(0))),
        ({"err_backoff": None}, {"err_backoff": SECOND}, DEFAULT_RETRY),
        ({"retry": OWN}, {"err_backoff": SECOND}, OWN),
        ({"retry": None}, {"err_backoff": SECOND}, DEFAULT_RETRY),
        ({"err_backoff": SECOND}, {"retry": OWN}, constant_retry(SECOND)),
        ({}, {"retry": OWN}, OWN),
        ({}, {"err_backoff": SECOND}, constant_retry(SECOND)),
    ],
)
def test_the_nearest_word_about_waiting_counts(own: StepOptions, defaults: StepOptions, retry: Retry) -> None:
    assert resolved(own, defaults).retry == retry


@pytest.mark.parametrize(
    ("own", "defaults", "alert"),
    [
        ({"consume_lag": HOUR}, {}, DEFAULT_LAG_ALERT + HOUR),
        ({"consume_lag": HOUR, "lag_alert": SECOND}, {}, SECOND),
        ({"consume_lag": HOUR}, {"lag_alert": SECOND}, SECOND + HOUR),
        ({}, {"consume_lag": HOUR}, DEFAULT_LAG_ALERT + HOUR),
        ({}, {"consume_lag": HOUR, "lag_alert": SECOND}, SECOND),
        ({"consume_lag": HOUR}, {"lag_alert": None}, None),
    ],
)
def test_a_lag_moves_the_alert_unless_the_alert_was_given_beside_it(
    own: StepOptions, defaults: StepOptions, alert: timedelta | None
) -> None:
    assert resolved(own, defaults).lag_alert == alert


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"parallel_count": 0}, "0 consumers would never run it"),
        ({"polling_frequency": timedelta(0)}, "without a pause"),
        ({"concurrency": 0}, "Give 1 or more"),
        ({"time_limit": timedelta(0)}, "None for no limit"),
        ({"parallel_count": -1}, "negative"),
        ({"consume_lag": timedelta(seconds=-1)}, "negative"),
        ({"parallel_count": 1.5}, "whole number"),
        ({"concurrency": True}, "whole number"),
        ({"time_limit": 5}, "Give a timedelta"),
        ({"retry": 3}, "flowdsl.Retry"),
        ({"pause_on": "ValueError"}, "'ValueError', which is no class of exceptions"),
        ({"pause_on": (ValueError, ValueError("now"))}, "which is no class of exceptions"),
        ({"pause_on": KeyboardInterrupt}, "which is no class of exceptions"),
        ({"paralel_count": 3}, "unknown option 'paralel_count'"),
        ({"retry": OWN, "err_backoff": SECOND}, "both say how long to wait"),
    ],
)
def test_values_and_combinations_that_cannot_work_are_refused_with_place_and_remedy(options: Any, said: str) -> None:
    with pytest.raises(OptionError, match=said) as caught:
        check_options(options, "orders.py:7")
    assert caught.value.place == "orders.py:7"
    assert "orders.py:7" in str(caught.value)


@pytest.mark.parametrize("broken", [{"backoff": timedelta(seconds=-1)}, {"multiplier": 0.5}, {"backoff": HOUR, "cap": SECOND}])
def test_a_retry_policy_that_cannot_work_is_refused(broken: Any) -> None:
    with pytest.raises(OptionError):
        Retry(**broken)


@given(failures=st.integers(1, 10_000), seed=st.integers(0, 1000))
def test_waits_grow_to_the_cap_and_jitter_stays_below(failures: int, seed: int) -> None:
    plain, jittered = Retry(jitter=False), Retry()
    whole = plain.delay(failures, random.Random(seed))
    assert whole == min(timedelta(hours=1), timedelta(seconds=2 ** min(failures - 1, 20)))
    assert timedelta(0) <= jittered.delay(failures, random.Random(seed)) <= whole
