"""A shop with tables of its own. What it writes there commits together with what flowdsl stores, on SQLite, PostgreSQL or
MariaDB."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from flowdsl import Engine, Run, Workflow

tables = sa.MetaData()
purchases = sa.Table(
    "shop_purchase",
    tables,
    sa.Column("purchase_id", sa.String(64), primary_key=True),
    sa.Column("cents", sa.Integer, nullable=False),
)
invoices = sa.Table(
    "shop_invoice",
    tables,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("purchase_id", sa.String(64), nullable=False),  # not unique on purpose: the transaction sees to it
    sa.Column("cents", sa.Integer, nullable=False),
)


class Status(StrEnum):
    BOUGHT = "bought"
    INVOICED = "invoiced"
    DONE = "done"


@dataclass
class Purchase:
    cents: int


class MailStatus(StrEnum):
    WRITTEN = "written"
    SENT = "sent"


@dataclass
class Mail:
    about: str


def build(send: Callable[[str], None]) -> tuple[Workflow[Purchase, Status], Workflow[Mail, MailStatus]]:
    """In: what sends a mail about a purchase."""
    shop = Workflow("purchases", object_type=Purchase, status_type=Status)
    mails = Workflow("mails", object_type=Mail, status_type=MailStatus)

    @shop.step(from_=Status.BOUGHT, to=Status.INVOICED)
    def invoice(run: Run[Purchase, Status]) -> None:
        def write(session: Session) -> None:
            session.execute(invoices.insert().values(purchase_id=run.foreign_id, cents=run.object.cents))

        run.in_transaction(write)  # called when the transition is stored, in its transaction
        run.trigger(mails, f"invoice of {run.foreign_id}", Mail(run.foreign_id))  # and so is this run

    @shop.step(from_=Status.INVOICED, to=Status.DONE)
    def close(run: Run[Purchase, Status]) -> None:
        """Nothing is left to do."""

    @mails.step(from_=MailStatus.WRITTEN, to=MailStatus.SENT)
    def deliver(run: Run[Mail, MailStatus]) -> None:
        send(run.object.about)  # may happen more than once, as with anything outside of the database

    return shop, mails


def buy(engine: Engine, shop: Workflow[Purchase, Status], session: Session, purchase_id: str, cents: int) -> None:
    """A purchase and its run, in the caller's transaction: both are there when it commits, or neither."""
    session.execute(purchases.insert().values(purchase_id=purchase_id, cents=cents))
    engine.trigger(shop, purchase_id, Purchase(cents), session=session)


def count(own: sa.Engine, what: sa.Table, column: Any = None) -> int:
    """Rows, or different values of a column."""
    counted = sa.func.count() if column is None else sa.func.count(column.distinct())
    with own.connect() as connection:
        return int(connection.execute(sa.select(counted).select_from(what)).scalar_one())
