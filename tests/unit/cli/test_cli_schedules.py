"""Schedules on the command line: listed, shown, made, previewed, paused, resumed, triggered and deleted."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from typer.testing import Result

from flowdsl.testing.stepped import SteppedEngine
from flowdsl_sql.record_store import open_store
from tests.unit.cli.conftest import Shop
from tests.unit.cli.test_cli_runs import lines

SPEC = "0 9 * * 1-5"


def create(shop: Shop, *more: str, name: str = "orders/acme", spec: str = SPEC) -> Result:
    given = ("--object", '{"total": 5}', "--app", shop.target, "--actor", "ada")
    return shop.run("schedules", "create", name, spec, *given, *more)


def listed(shop: Shop, *arguments: str) -> list[dict[str, Any]]:
    return lines(shop.ask("schedules", "list", "--json", *arguments))


@pytest.fixture
def acme(shop: Shop) -> Shop:
    """A shop with one schedule."""
    done = create(shop)
    assert done.exit_code == 0, done.output
    return shop


def test_a_schedule_is_made_with_everything_that_was_asked_for(shop: Shop) -> None:
    policies = ("--gap", "skip", "--overlap-hour", "twice", "--misfire", "all", "--max-catch-up", "3", "--if-running", "wait")
    more = ("--timezone", "Europe/London", "--foreign-id", "acme-7", "--status", "PAID", "--misfire-grace", "5m", *policies)
    made = lines(create(shop, *more, "--json"))[0]
    (found,) = listed(shop)

    assert found == made
    assert (found["workflow"], found["name"], found["state"], found["origin"]) == ("orders", "acme", "active", "runtime")
    assert found["words"] == "at 09:00, on Monday to Friday (Europe/London)"
    assert found["created"]["by"] == "ada"
    assert found["rule"] == {
        "spec": SPEC,
        "foreign_id": "acme-7",
        "timezone": "Europe/London",
        "gap": "skip",
        "overlap_hour": "twice",
        "misfire": "all",
        "misfire_grace": "PT300S",
        "max_catch_up": 3,
        "if_running": "wait",
        "start_status": "paid",
    }


def test_making_one_says_when_it_fires_first(shop: Shop) -> None:
    said = create(shop).stdout

    assert said.startswith("orders/acme fires at 09:00, on Monday to Friday (UTC), first at 20")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("orders/acme", "0 0 31 2 *"), 2, "never fires"),
        (("orders/acme", "0 9 * * MOON"), 2, "Did you mean MON?"),
        (("orders/acme", SPEC, "-z", "Europe/Londn"), 2, "Did you mean 'Europe/London'?"),
        (("orders/acme", SPEC, "--gap", "leap"), 2, "'leap' is not one of 'next', 'skip'"),
        (("orders/acme", SPEC, "--misfire-grace", "soon"), 2, "is no span of time"),
        (("orders/acme", SPEC, "--max-catch-up", "3"), 2, "is for misfire=Misfire.ALL"),
        (("orders/acme", SPEC, "-o", "{"), 2, "--object does not fit Order"),
        (("ordres/acme", SPEC), 2, "Did you mean 'orders'?"),
        (("acme", SPEC), 2, "names no schedule. Write WORKFLOW/NAME"),
        (("orders/acme", SPEC, "--status", "piad"), 2, "Did you mean 'paid'?"),
        (("orders/acme", SPEC, "--status", "sent"), 2, "cannot start in 'sent': nothing leaves it"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(shop: Shop, arguments: tuple[str, ...], code: int, says: str) -> None:
    given = () if "-o" in arguments else ("--object", '{"total": 5}')
    done = shop.run("schedules", "create", *arguments, *given, "--app", shop.target)

    assert (done.exit_code, says in done.stderr) == (code, True), done.stderr
    assert done.stderr.count("\n") == 1


def test_a_schedule_of_a_workflow_with_objects_needs_one(shop: Shop) -> None:
    done = shop.run("schedules", "create", "orders/acme", SPEC, "--app", shop.target)

    assert (done.exit_code, done.stderr) == (2, "flowdsl: a run of orders needs an object. Give --object.\n")


def test_without_the_code_a_schedule_can_be_looked_at_and_not_made_or_triggered(acme: Shop) -> None:
    for command in (("create", "orders/b", SPEC), ("trigger", "orders/acme")):
        done = acme.ask("schedules", *command)
        assert (done.exit_code, "Give --app MODULE:ENGINE" in done.stderr) == (2, True)


def test_a_name_that_is_taken_is_code_5_and_can_be_replaced(acme: Shop) -> None:
    again, replaced = create(acme), create(acme, "--replace", spec="@daily")

    assert (again.exit_code, "has a schedule 'acme' already" in again.stderr) == (5, True)
    assert replaced.exit_code == 0
    assert [schedule["rule"]["spec"] for schedule in listed(acme)] == ["@daily"]


def test_the_list_for_people_has_what_they_look_for(acme: Shop) -> None:
    create(acme, name="orders/other", spec="@every 90m")
    acme.ask("schedules", "pause", "orders/other", "--reason", "inventory", "--actor", "bob")
    table = acme.ask("schedules", "list").stdout

    assert "orders/acme" in table
    assert f"{SPEC} UTC" in table
    assert "paused" in table
    assert "by bob: inventory" in table
    assert "No schedules." in acme.ask("schedules", "list", "--workflow", "others").stdout


def test_pause_resume_and_delete_say_what_they_did(acme: Shop) -> None:
    paused = acme.ask("schedules", "pause", "orders/acme", "-r", "inventory")
    twice = acme.ask("schedules", "pause", "orders/acme", "-r", "inventory")
    (state,) = listed(acme)
    resumed = lines(acme.ask("schedules", "resume", "orders/acme", "--json"))[0]
    deleted = acme.ask("schedules", "delete", "orders/acme", "--reason", "left", "--actor", "bob")

    assert (paused.exit_code, paused.stdout) == (0, "orders/acme is paused\n")
    assert (twice.exit_code, "is paused already" in twice.stderr) == (5, True)
    assert (state["state"], state["paused"]["reason"], state["next"]) == ("paused", "inventory", None)
    assert (resumed["state"], resumed["paused"]) == ("active", None)
    assert deleted.stdout == "orders/acme is removed\n"
    assert listed(acme) == []
    assert listed(acme, "--removed")[0]["removed"] == {**listed(acme, "--removed")[0]["removed"], "by": "bob", "reason": "left"}


def test_of_several_one_that_refuses_does_not_hold_back_the_others(acme: Shop) -> None:
    create(acme, name="orders/other")
    done = acme.ask("schedules", "pause", "orders/nobody", "orders/other", "-r", "x")

    assert done.exit_code == 4
    assert "orders has no schedule 'nobody'" in done.stderr
    assert "orders/other is paused" in done.stdout


def test_a_schedule_is_shown_with_its_next_firings_and_its_journal(acme: Shop) -> None:
    acme.ask("schedules", "pause", "orders/acme", "-r", "inventory", "--actor", "bob")
    shown = lines(acme.ask("schedules", "show", "orders/acme", "--count", "3", "--json"))[0]
    brief = lines(acme.ask("schedules", "show", "orders/acme", "--entries", "1", "--json"))[0]
    text = acme.ask("schedules", "show", "orders/acme").stdout

    acme.ask("schedules", "resume", "orders/acme")
    resumed = acme.ask("schedules", "show", "orders/acme").stdout

    assert len(shown["firings"]) == 3
    assert "\nNext, once it is resumed\n" in text
    assert "\nNext\n" in resumed
    assert [(entry["event"], entry["by"]) for entry in shown["journal"]] == [("created", "ada"), ("paused", "bob")]
    assert [entry["event"] for entry in brief["journal"]] == ["paused"]
    for part in ("at 09:00, on Monday to Friday", "by bob: inventory", "0 started", "Journal", "gap next"):
        assert part in text
    assert acme.ask("schedules", "show", "orders/nobody").exit_code == 4


def test_a_preview_needs_a_schedule_or_an_expression_and_the_latter_no_store(acme: Shop) -> None:
    stored = lines(acme.ask("schedules", "preview", "orders/acme", "-n", "2", "--json"))
    free = lines(acme.run("schedules", "preview", "--spec", SPEC, "-n", "2", "--json"))
    text = acme.run("schedules", "preview", "--spec", "30 2 * * *", "--timezone", "Europe/Berlin", "--gap", "skip").stdout

    assert stored == free
    assert "at 02:30 (Europe/Berlin)" in text
    assert text.count("02:30:00 CE") == 5
    for wrong in ((), ("orders/acme", "--spec", SPEC)):
        assert "which schedule?" in acme.ask("schedules", "preview", *wrong).stderr


def test_triggered_by_hand_a_run_is_started_with_the_schedules_object(acme: Shop) -> None:
    (said,) = lines(acme.run("schedules", "trigger", "orders/acme", "--app", acme.target, "--actor", "bob", "--json"))
    shown = lines(acme.ask("show", "orders/acme", "--json"))[0]
    again = acme.run("schedules", "trigger", "orders/acme", "--app", acme.target)

    assert said == {"schedule": "orders/acme", "run_id": shown["run"]["run_id"]}
    assert shown["object"]["total"] == 5
    assert (shown["history"][0]["actor"], shown["history"][0]["name"]) == ("bob", "acme")
    assert again.exit_code == 5


DAILY = """
from flowdsl import Engine
from {module} import Order, orders


@orders.schedule("0 0 1 1 *", foreign_id="yearly")
def yearly(fire_time):
    raise RuntimeError("no \\x1b[31mluck")


@orders.schedule("0 0 1 1 *", foreign_id="never")
async def never(fire_time):
    return None


def engine() -> Engine:
    return Engine.from_url(orders, store={url!r})
"""


def test_one_of_the_code_is_there_once_a_worker_has_started_and_its_function_is_called_by_trigger(shop: Shop) -> None:
    module = shop.write("daily", DAILY.format(module=shop.module, url=shop.url))
    target = f"{module}:engine"
    assert "No schedules." in shop.run("schedules", "list", "--app", target).stdout
    workflow = import_module(shop.module).orders
    import_module(module)
    store = open_store(shop.url, migrate=True)
    with SteppedEngine(workflow, store=store) as worker:
        worker.run_until_idle()
    store.close()

    assert {(each["name"], each["origin"]) for each in listed(shop)} == {("yearly", "code"), ("never", "code")}
    assert shop.run("schedules", "trigger", "orders/never", "--app", target).stdout == "orders/never wants no run now\n"
    failed = shop.run("schedules", "trigger", "orders/yearly", "--app", target)
    assert (failed.exit_code, "the function of orders/yearly failed: RuntimeError: no" in failed.stderr) == (1, True)
    assert "\x1b" not in failed.stderr
    refused = shop.ask("schedules", "delete", "orders/yearly")
    assert (refused.exit_code, "is in the code" in refused.stderr) == (5, True)
    shown = lines(shop.ask("schedules", "show", "orders/yearly", "--json"))[0]
    assert shown["schedule"]["created"]["by"] == "deployment"
