"""The example with tables of its own: whatever dies when, a purchase has one invoice and one mail."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from examples.sql_outbox import __main__ as program
from examples.sql_outbox.shop import build, buy, count, invoices, purchases, tables
from flowdsl import RunState
from flowdsl.model.query import RunQuery
from flowdsl.testing.stepped import SteppedEngine
from flowdsl_sql.record_store import open_store
from tests.services import sql_database

ROOT = Path(__file__).parent.parent.parent
PURCHASES, KILLS = 150, 4


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with sql_database(request.param, tmp_path) as where:
        open_store(where, migrate=True).close()
        yield where


def test_every_purchase_has_one_invoice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--store", f"sqlite:///{tmp_path}/shop.db", "--purchases", "20"]

    assert program.main(where) == 0
    assert program.main(where) == 0

    assert [line.split()[-2] for line in capsys.readouterr().out.splitlines() if "│" in line] == ["20"] * 6


def test_a_purchase_in_the_time_of_the_test(tmp_path: Path) -> None:
    url, mails = f"sqlite:///{tmp_path / 'test.db'}", list[str]()
    shop, letters = build(mails.append)
    own = sa.create_engine(url)
    with SteppedEngine.from_url(shop, letters, store=url) as engine:
        tables.create_all(own)
        with Session(own) as session, session.begin():
            buy(engine, shop, session, "p-1", 500)
        engine.run_until_idle()

        assert engine.latest(shop, "p-1").record().state is RunState.COMPLETED
    assert (mails, count(own, invoices)) == (["p-1"], 1)
    own.dispose()


def invoiced_twice(own: sa.Engine) -> list[str]:
    """In one look: a server may still be committing what a dead process had sent."""
    twice = sa.select(invoices.c.purchase_id).group_by(invoices.c.purchase_id).having(sa.func.count() > 1)
    with own.connect() as connection:
        return list(connection.scalars(twice))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_kill_9_leaves_no_purchase_without_an_invoice_and_none_with_two(url: str) -> None:
    own, dice = sa.create_engine(url), random.Random(7)
    tables.create_all(own)
    command = [sys.executable, "-m", "examples.sql_outbox", "--store", url, "--purchases", str(PURCHASES)]
    for kill in range(KILLS):
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        goal = PURCHASES * (kill + 1) // (KILLS + 1) + dice.randrange(5)
        while count(own, invoices) < goal and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert invoiced_twice(own) == []

    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, timeout=240)

    assert count(own, purchases) == count(own, invoices) == count(own, invoices, invoices.c.purchase_id) == PURCHASES
    store = open_store(url)
    mails = store.runs(RunQuery(workflows=("mails",), limit=500)).runs
    store.close()
    own.dispose()
    assert sorted(run.foreign_id for run in mails) == [f"invoice of purchase-{number:04}" for number in range(1, PURCHASES + 1)]
