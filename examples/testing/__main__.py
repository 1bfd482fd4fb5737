"""`python -m examples.testing`: rehearses both versions of the workflow and says which one pays twice."""

from __future__ import annotations

import sys

from rich.console import Console

from examples.testing.bank import FakeBank
from examples.testing.refunds import Decision, Refund, Status, build
from flowdsl.testing.rehearsal import Rehearsal, under_every_mishap


def scenario(rehearsal: Rehearsal, *, careless: bool) -> None:
    """One refund that is approved; whatever happens, it is paid once."""
    bank = FakeBank()
    refunds = build(bank, careless=careless)
    engine = rehearsal.engine(refunds)
    handle = engine.trigger(refunds, "account-1", Refund(cents=500))
    engine.run_until_idle()
    engine.callback(refunds, "account-1", Status.ASKED, Decision(approved=True))  # whichever process lives by then
    engine.run_until_idle()
    assert handle.record().status == Status.REFUNDED.value
    assert bank.payments == [("account-1", 500)], f"paid {len(bank.payments)} times"


def main() -> int:
    console = Console()
    report = under_every_mishap(lambda rehearsal: scenario(rehearsal, careless=False))
    console.print(f"with the idempotency key: paid once under each of {report.tried} mishaps at {len(report.points)} points")
    try:
        under_every_mishap(lambda rehearsal: scenario(rehearsal, careless=True))
    except AssertionError as error:
        console.print(f"without it: {error}")
        for note in error.__notes__:
            console.print(f"  {note}")
        return 0
    console.print("without it: no mishap was found that pays twice")
    return 1


if __name__ == "__main__":
    sys.exit(main())
