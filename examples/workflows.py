"""The workflows of all examples, for whoever draws or describes them: `flowdsl graph examples.workflows:orders`."""

from __future__ import annotations

from pathlib import Path

from examples.fleet.app import parcels
from examples.order_processor.services import Services
from examples.order_processor.workflow import build
from examples.sql_outbox import shop as sql_outbox

orders = build(Services(Path("payments.db")))  # the ledger is opened by the first call of a service: here there is none
purchases, mails = sql_outbox.build(send=lambda about: None)

__all__ = ["mails", "orders", "parcels", "purchases"]
