"""Refunds. `build` takes the bank, so that a test can bring its own; `careless` leaves the idempotency key out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from flowdsl import Outcome, Run, Workflow


class Status(StrEnum):
    ASKED = "asked"
    APPROVED = "approved"
    REFUNDED = "refunded"
    REFUSED = "refused"


@dataclass
class Refund:
    cents: int
    receipt: str | None = None


@dataclass
class Decision:
    approved: bool


class Bank(Protocol):
    """Somebody else's service."""

    def pay(self, account: str, cents: int, key: str | None = None) -> str:
        """Pays, once for each key; the receipt."""
        ...


def build(bank: Bank, *, careless: bool = False) -> Workflow[Refund, Status]:
    refunds = Workflow("refunds", object_type=Refund, status_type=Status)

    @refunds.callback(from_=Status.ASKED, to=[Status.APPROVED, Status.REFUSED])
    def decided(run: Run[Refund, Status], decision: Decision) -> Status:
        return Status.APPROVED if decision.approved else Status.REFUSED

    @refunds.timeout(from_=Status.ASKED, to=Status.REFUSED, after=timedelta(days=14))
    def nobody_decided(run: Run[Refund, Status]) -> None:
        """Silence is a no."""

    @refunds.step(from_=Status.APPROVED, to=Status.REFUNDED)
    def pay_back(run: Run[Refund, Status]) -> Status | Outcome:
        if run.object.cents <= 0:
            return run.cancel("nothing to pay back")
        key = None if careless else run.idempotency_key
        run.object.receipt = bank.pay(run.foreign_id, run.object.cents, key)
        return Status.REFUNDED

    return refunds
