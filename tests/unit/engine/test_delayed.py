"""Things to do a little later."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flowdsl.engine.delayed import Delayed
from flowdsl.testing.clock import ManualClock


def test_a_call_that_fails_costs_none_of_the_others(caplog: pytest.LogCaptureFixture) -> None:
    clock, made = ManualClock(), list[str]()
    delayed = Delayed(clock)

    def fails() -> None:
        raise RuntimeError("no luck")

    for call in (lambda: made.append("first"), fails, lambda: made.append("last")):
        delayed.call(timedelta(seconds=1), call)
    clock.advance(timedelta(seconds=1))

    assert delayed.step()
    assert made == ["first", "last"]
    assert "no luck" in caplog.text
    assert not delayed.step()
