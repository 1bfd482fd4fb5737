"""The workflows of all examples, for whoever draws or describes them: `flowdsl graph examples.workflows:orders`."""

from __future__ import annotations

from pathlib import Path

from examples.fleet.app import parcels
from examples.order_processor.services import Services
from examples.order_processor.workflow import build

orders = build(Services(Path("payments.db")))  # the ledger is opened by the first call of a service: here there is none

__all__ = ["orders", "parcels"]
