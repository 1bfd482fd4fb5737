"""How long a row rests whose owner was lost with it."""

from __future__ import annotations

from datetime import timedelta

from flowdsl.model.lapse import LONGEST, SECOND_LAPSE, rest


def test_the_first_time_it_does_not_rest_at_all() -> None:
    assert rest("run-1", 1) == timedelta(0)


def test_the_longest_rest_doubles_up_to_a_bound() -> None:
    bounds = [min(SECOND_LAPSE * 2**number, LONGEST) for number in range(40)]
    for lapses, bound in enumerate(bounds, 2):
        rests = [rest(f"run-{number}", lapses) for number in range(200)]
        assert max(rests) < bound
        assert max(rests) > bound * 0.9


def test_rows_that_were_lost_together_part() -> None:
    assert len({rest(f"run-{number}", 2) for number in range(100)}) == 100
    assert rest("run-1", 3) == rest("run-1", 3), "nothing is left to chance"
