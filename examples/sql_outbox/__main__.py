"""`python -m examples.sql_outbox`: buys, invoices and mails; kill it and start it again as often as you like."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa
from rich.console import Console
from rich.table import Table
from sqlalchemy.orm import Session

from examples.sql_outbox.shop import build, buy, count, invoices, purchases, tables
from flowdsl import Engine

DATABASE = Path(__file__).parent / "shop.db"
PATIENCE = timedelta(minutes=2)


def main(arguments: Sequence[str] | None = None) -> int:
    options = argparse.ArgumentParser(prog="python -m examples.sql_outbox", description=__doc__)
    options.add_argument("--store", default=f"sqlite:///{DATABASE}", help="the database's URL (default: a file beside this one)")
    options.add_argument("--purchases", type=int, default=100, help="how many there should be")
    given = options.parse_args(arguments)

    shop, mails = build(send=lambda about: None)
    own = sa.create_engine(given.store)
    with Engine.from_url(shop, mails, store=given.store) as engine:
        engine.runs(limit=1)  # the first use makes flowdsl's tables on SQLite
        tables.create_all(own)
        for number in range(count(own, purchases) + 1, given.purchases + 1):
            with Session(own) as session, session.begin():
                buy(engine, shop, session, f"purchase-{number:04}", 100 * number)
        for number in range(1, given.purchases + 1):
            engine.latest(shop, f"purchase-{number:04}").wait(timeout=PATIENCE)
            engine.latest(mails, f"invoice of purchase-{number:04}").wait(timeout=PATIENCE)

    shown = Table(title="one transaction each", show_header=False)
    shown.add_row("purchases", str(count(own, purchases)))
    shown.add_row("invoices", str(count(own, invoices)))
    shown.add_row("purchases with an invoice", str(count(own, invoices, invoices.c.purchase_id)))
    Console().print(shown)
    own.dispose()
    return 0


if __name__ == "__main__":
    sys.exit(main())
