"""The workflows of all examples, for whoever draws or describes them: `flowdsl graph examples.workflows:orders`."""

from __future__ import annotations

from pathlib import Path

from examples.callback import deliveries as callback
from examples.connector.parcels import parcels as shipments
from examples.fleet.app import parcels
from examples.hooks import imports as hooks
from examples.order_processor.services import Services
from examples.order_processor.workflow import build
from examples.pii import applications as pii
from examples.schedule import reports as schedule
from examples.sql_outbox import shop as sql_outbox
from examples.testing import refunds as testing
from examples.testing.bank import FakeBank
from examples.timeout import reservations as timeout

orders = build(Services(Path("payments.db")))  # the ledger is opened by the first call of a service: here there is none
purchases, mails = sql_outbox.build(send=lambda about: None)
deliveries = callback.build(thank=lambda driver: None)
reservations = timeout.build(remind=lambda name: None)
imports = hooks.build(tell=lambda text: None)
applications = pii.build()
refunds = testing.build(FakeBank())
reports = schedule.build(figures=lambda: 0, send=lambda to, text: None)

__all__ = [
    "applications",
    "deliveries",
    "imports",
    "mails",
    "orders",
    "parcels",
    "purchases",
    "refunds",
    "reports",
    "reservations",
    "shipments",
]
