"""The gate before a deployment: flowdsl check --against, flowdsl migrate."""

from __future__ import annotations

import json

import pytest

from tests.unit.cli.conftest import SHOP, Shop

NEXT = SHOP.replace('PAID = "paid"', 'CHARGED = "charged"').replace("Status.PAID", "Status.CHARGED")
MIGRATION = """

@orders.migrate(from_="paid", to=Status.CHARGED)
def keep(order: dict) -> None:
    order["note"] = order.get("note", "") + "migrated"
"""

TIMEOUT = """

@orders.timeout(from_=Status.{status}, to=Status.SENT, after=__import__("datetime").timedelta(days=1), name="{name}")
def {name}(run: Run[Order, Status]) -> None: ...
"""


def code(shop: Shop, name: str, text: str) -> str:
    """Another version of the shop's code, on the same database."""
    module = shop.write(name, text.replace("{url!r}", repr(shop.url)))
    return f"{module}:engine"


@pytest.fixture
def paid(shop: Shop) -> Shop:
    for foreign_id in ("o-1", "o-2"):
        shop.trigger(foreign_id, "--status", "paid")
    shop.trigger("o-3")
    return shop


def test_code_that_fits_is_code_0_and_says_how_many_runs_there_are(paid: Shop) -> None:
    done = paid.run("check", paid.target, "--against", paid.url)

    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "orders: sound, 2 steps, 3 statuses",
        "orders: fits, 3 unfinished runs, 3 looked at",
    ]


def test_code_that_does_not_fit_is_code_1_with_what_to_do(paid: Shop) -> None:
    target = code(paid, "next", NEXT)
    done = paid.run("check", target, "--against", paid.url)
    as_json = paid.run("check", target, "--against", paid.url, "--json")

    assert (done.exit_code, as_json.exit_code) == (1, 1)
    assert "orders: [unknown-status] 2 unfinished runs in 'paid', which this code does not have." in done.stdout
    assert "Declare @workflow.migrate(from_='paid', to=...)" in done.stdout
    (misfit,) = [json.loads(line) for line in as_json.stdout.splitlines()]
    assert (misfit["kind"], misfit["status"], misfit["runs"], misfit["sampled"]) == ("unknown-status", "paid", 2, None)


def test_declared_migrations_pass_the_gate_and_are_carried_out(paid: Shop) -> None:
    target = code(paid, "next", NEXT + MIGRATION)
    gate = paid.run("check", target, "--against", paid.url)
    tried = paid.run("migrate", target, "--dry-run", "--json")
    assert (gate.exit_code, tried.exit_code) == (0, 0)
    assert "2 to be migrated" in gate.stdout
    assert json.loads(tried.stdout)["migrated"] == 2
    assert "paid" in paid.ask("runs").stdout

    done = paid.run("migrate", target, "--actor", "ada")
    assert done.exit_code == 0
    assert [line.split() for line in done.stdout.splitlines()[2:]] == [["orders", "paid", "charged", "2", "0", "0", "0", "0"]]
    shown = json.loads(paid.ask("show", "orders/o-1", "--json").stdout)
    assert (shown["run"]["status"], shown["object"]["note"]) == ("charged", "migrated")
    assert (shown["history"][-1]["cause"], shown["history"][-1]["actor"]) == ("migration", "ada")
    assert "migrate to=charged" in paid.ask("audit").stdout


def test_what_becomes_of_timeouts_is_told(shop: Shop) -> None:
    shop.write("timed", "")
    timed = code(shop, "timed", SHOP + TIMEOUT.format(status="PAID", name="late") + TIMEOUT.format(status="PAID", name="gone"))
    started = shop.run("trigger", timed, "orders", "o-1", "--object", '{"total": 1}', "--status", "paid")
    assert started.exit_code == 0, started.output
    later = TIMEOUT.format(status="CHARGED", name="late") + TIMEOUT.format(status="CHARGED", name="fresh")
    target = code(shop, "next", NEXT + MIGRATION + later)

    for arguments in (["--dry-run"], []):
        done = shop.run("migrate", target, *arguments)
        assert "run on: late; begin anew: fresh; go: gone" in " ".join(done.stdout.split())


def test_a_migration_that_fails_is_code_1(paid: Shop) -> None:
    target = code(paid, "next", NEXT + MIGRATION.replace('order["note"] =', 'order["note"] = order["colour"] +'))
    gate = paid.run("check", target, "--against", paid.url)
    tried = paid.run("migrate", target, "--dry-run")

    assert (gate.exit_code, tried.exit_code) == (1, 1)
    assert "[failing-migration]" in gate.stdout
    assert "KeyError: 'colour'" in tried.stdout


def test_code_without_migrations_says_so(paid: Shop) -> None:
    assert paid.run("migrate", paid.target).stdout == "No migrations are declared.\n"


def test_a_store_that_is_not_there_is_code_3(paid: Shop) -> None:
    assert paid.run("check", paid.target, "--against", "sqlite:///nowhere.db").exit_code == 3


def test_an_unsound_workflow_is_not_compared(paid: Shop) -> None:
    target = code(paid, "next", NEXT.replace("to=Status.SENT", "to=Status.CHARGED"))
    done = paid.run("check", target.partition(":")[0] + ":orders", "--against", paid.url)

    assert done.exit_code == 1
    assert "unfinished" not in done.stdout
