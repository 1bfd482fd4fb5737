"""The workflows of all examples, for whoever draws or describes them: `flowdsl graph examples.workflows:orders`. What they need
of the outside world is left out: nothing here is run."""

from __future__ import annotations

from pathlib import Path

from examples.fleet.app import parcels
from examples.order_processor.services import Services
from examples.order_processor.workflow import build
from examples.sql_outbox import shop as sql_outbox
from examples.testing import refunds as testing


class ClosedBank:
    """Pays nothing."""

    def pay(self, account: str, cents: int, key: str | None = None) -> str:
        raise ConnectionError("the bank is closed")


orders = build(Services(Path("payments.db")))
purchases, mails = sql_outbox.build(send=lambda about: None)
refunds = testing.build(ClosedBank())

__all__ = ["mails", "orders", "parcels", "purchases", "refunds"]
