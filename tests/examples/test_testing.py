"""How a user tests a workflow; the example's own tests."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples.testing import __main__ as program
from examples.testing.bank import FakeBank
from examples.testing.refunds import Decision, Refund, Status, build
from flowdsl import CallbackOutcome, RunState
from flowdsl.testing.mishap import Mishap
from flowdsl.testing.rehearsal import Rehearsal, under_every_mishap
from flowdsl.testing.runs import make_run
from flowdsl.testing.transitions import assert_transitions
from flowdsl.testing.walk import Walk


def test_a_step_alone() -> None:
    bank = FakeBank()
    refunds = build(bank)
    run = make_run(refunds, Refund(cents=500), status=Status.APPROVED)

    assert refunds.steps["approved"].fn(run) is Status.REFUNDED
    assert (run.object.receipt, bank.payments) == ("receipt-1", [("foreign-1", 500)])


def test_an_approved_refund_is_paid(flow_engine: Callable[..., Any]) -> None:
    bank = FakeBank()
    refunds = build(bank)
    engine = flow_engine(refunds)
    handle = engine.trigger(refunds, "account-1", Refund(cents=500))

    engine.callback(refunds, "account-1", Status.ASKED, b'{"approved": true}')
    engine.run_until_idle()

    assert_transitions(handle, Status.ASKED, Status.APPROVED, Status.REFUNDED)
    assert bank.payments == [("account-1", 500)]


def test_silence_is_a_no_after_two_weeks(flow_engine: Callable[..., Any]) -> None:
    refunds = build(FakeBank())
    engine = flow_engine(refunds)
    handle = engine.trigger(refunds, "account-1", Refund(cents=500))

    engine.advance(timedelta(days=14) - timedelta(seconds=1))
    assert_transitions(handle, Status.ASKED)
    engine.advance(timedelta(seconds=1))

    assert_transitions(handle, Status.ASKED, Status.REFUSED)
    late = engine.callback(refunds, "account-1", Status.ASKED, Decision(approved=True))
    assert late.outcome is CallbackOutcome.STOPPED


def test_whatever_happens_it_is_paid_once() -> None:
    report = under_every_mishap(lambda rehearsal: program.scenario(rehearsal, careless=False))

    assert report.tried > len(report.points) >= 5


def test_a_step_that_pays_without_a_key_is_found() -> None:
    with pytest.raises(AssertionError, match="paid 2 times") as caught:
        under_every_mishap(lambda rehearsal: program.scenario(rehearsal, careless=True))

    (bearing, again) = caught.value.__notes__
    assert "the process dies, at point" in bearing
    assert "pay_back of account-1, attempt 1" in bearing
    number = int(again.partition("{")[2].partition(":")[0])
    with pytest.raises(AssertionError, match="paid 2 times"):
        program.scenario(Rehearsal({number: Mishap.CRASH}), careless=True)


@given(data=st.data())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_anybody_does_nothing_is_paid_twice_or_without_a_decision(data: st.DataObject) -> None:
    bank = FakeBank()
    decisions = st.builds(Decision, approved=st.booleans())
    walk = Walk(
        data,
        build(bank),
        st.builds(Refund, cents=st.integers(-5, 1000)),
        payloads={"decided": decisions},
        check=lambda handle: len(bank.payments) <= 1 or pytest.fail("paid twice"),
    )

    handle = walk.to_the_end()

    assert handle.record().state in (RunState.COMPLETED, RunState.CANCELLED, RunState.PAUSED)
    if handle.record().status == Status.REFUSED.value:
        assert bank.payments == []


def test_the_program_says_what_it_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main() == 0

    out = " ".join(capsys.readouterr().out.split())
    assert "paid once under each of" in out
    assert "without it: paid 2 times" in out
