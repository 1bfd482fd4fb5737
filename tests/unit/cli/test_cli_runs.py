"""Starting runs, looking at them and controlling them, on a database of the test's own."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from flowdsl.model.change import MoveRun
from flowdsl.model.history import Cause, Origin
from flowdsl.model.run_state import RunState
from flowdsl_sql.record_store import open_store
from tests.unit.cli.conftest import Shop


def lines(done: Result) -> list[dict[str, Any]]:
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def listed(shop: Shop, *arguments: str) -> list[str]:
    return [run["foreign_id"] for run in lines(shop.ask("runs", "--json", *arguments))]


def test_a_triggered_run_is_stored_with_what_it_was_given(shop: Shop) -> None:
    (answer,) = lines(shop.trigger("o-1", "--json", "--tag", "web", "--meta", "lang=de=AT", "--priority", "3", "--actor", "ada"))
    (run,) = lines(shop.ask("runs", "--json"))
    shown = lines(shop.ask("show", "orders/o-1", "--json"))[0]

    assert answer == {"run_id": run["run_id"], "workflow": "orders", "foreign_id": "o-1", "created": True}
    assert (run["status"], run["state"], run["tags"], run["priority"]) == ("new", "initiated", ["web"], 3)
    assert run["metadata"] == {"lang": "de=AT"}
    assert shown["object"]["total"] == 5
    assert shown["history"][0]["actor"] == "ada"


def test_an_object_comes_from_a_file_or_standard_input(shop: Shop) -> None:
    (shop.folder / "order.json").write_text('{"total": 7}', "utf-8")
    by_file = shop.run("trigger", shop.target, "orders", "o-1", "-o", "@order.json")
    by_input = shop.run("trigger", shop.target, "orders", "o-2", "-o", "-", typed='{"total": 8}')

    assert (by_file.exit_code, by_input.exit_code) == (0, 0)
    assert [lines(shop.ask("show", f"orders/o-{n}", "--json"))[0]["object"]["total"] for n in (1, 2)] == [7, 8]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("orders", "o-1", "-o", '{"total": "x"}'), 2, "--object does not fit Order: Expected `float`, got `str` - at `$.total`"),
        (("orders", "o-1", "-o", "{"), 2, "--object does not fit Order"),
        (("orders", "o-1", "-o", "@nowhere.json"), 2, "cannot read nowhere.json"),
        (("orders", "o-1"), 2, "needs an object"),
        (("ordres", "o-1"), 2, "Did you mean 'orders'?"),
        (("orders", "o-1", "-o", '{"total": 1}', "--status", "piad"), 2, "Did you mean 'paid'?"),
        (("orders", "o-1", "-o", '{"total": 1}', "--status", "sent"), 2, "cannot start in 'sent': nothing leaves it"),
        (("orders", "o-1", "-o", '{"total": 1}', "--meta", "novalue"), 2, "--meta needs NAME=VALUE"),
    ],
)
def test_a_trigger_that_cannot_be_is_refused_and_stores_nothing(
    shop: Shop, arguments: tuple[str, ...], code: int, says: str
) -> None:
    done = shop.run("trigger", shop.target, *arguments)
    shop.trigger("sentinel")

    assert (done.exit_code, says in done.stderr) == (code, True), done.stderr
    assert listed(shop) == ["sentinel"]


def test_a_foreign_id_in_progress_is_code_5_and_names_the_run(shop: Shop) -> None:
    (first,) = lines(shop.trigger("o-1", "--json"))
    again = shop.trigger("o-1")

    assert again.exit_code == 5
    assert again.stderr.endswith(f" has an unfinished run (run {first['run_id']}). Wait for it to end, or cancel it.\n")


def test_a_key_used_twice_answers_with_the_first_run(shop: Shop) -> None:
    first, again = (lines(shop.trigger("o-1", "--key", "k", "--json"))[0] for _ in range(2))

    assert first["run_id"] == again["run_id"]
    assert (first["created"], again["created"]) == (True, False)


def test_a_run_may_start_in_a_status_named_by_value_or_by_member(shop: Shop) -> None:
    shop.trigger("o-1", "--status", "paid")
    shop.trigger("o-2", "--status", "PAID")

    assert sorted(listed(shop, "--status", "paid")) == ["o-1", "o-2"]


def test_filters_are_combined_and_values_of_one_are_alternatives(shop: Shop) -> None:
    for foreign_id in ("o-1", "o-2", "o-3"):
        shop.trigger(foreign_id)
    shop.ask("pause", "orders/o-2", "--reason", "wait")

    assert listed(shop) == ["o-3", "o-2", "o-1"]
    assert listed(shop, "--order", "oldest", "--foreign-id", "o-3", "--foreign-id", "o-1") == ["o-1", "o-3"]
    assert listed(shop, "--state", "paused", "--state", "running") == ["o-2"]
    assert listed(shop, "--workflow", "orders", "--state", "paused", "--foreign-id", "o-1") == []
    assert listed(shop, "--workflow", "others") == []
    assert listed(shop, "--since", "1h") == ["o-3", "o-2", "o-1"]
    assert listed(shop, "--before", "1h") == []


def test_a_list_goes_on_after_the_cursor_of_its_last_run(shop: Shop) -> None:
    for foreign_id in ("o-1", "o-2", "o-3"):
        shop.trigger(foreign_id)
    first = lines(shop.ask("runs", "--json", "--limit", "2"))
    table = shop.ask("runs", "--limit", "2")

    assert listed(shop, "--limit", "2", "--after", first[-1]["cursor"]) == ["o-1"]
    assert f"More: --after {first[-1]['cursor']}" in table.stderr
    assert "More" not in shop.ask("runs", "--limit", "3").stderr


@pytest.mark.parametrize("answer", [("--json",), ()])
def test_an_event_that_cannot_be_published_is_told_and_the_run_is_stored(shop: Shop, answer: tuple[str, ...]) -> None:
    pytest.importorskip("redis")
    text = Path(f"{shop.module}.py").read_text("utf-8")
    with_broker = shop.write("broker", text.replace("store=", 'streamer="redis://:hunter2@127.0.0.1:1", store='))
    started = shop.run("trigger", f"{with_broker}:engine", "orders", "o-1", "-o", '{"total": 1}', *answer)
    told = started.stderr

    assert (started.exit_code, listed(shop)) == (0, ["o-1"])
    if answer:
        assert set(lines(started)[0]) == {"run_id", "workflow", "foreign_id", "created"}
    assert told.startswith("Stored, but the event that tells workers could not be published (")
    assert told.endswith("): a worker finds the run at its next look at the store.\n")
    assert (told.count("\n"), "hunter2" in told, "tried again" in told) == (1, False, False)
    assert shop.run("show", "orders/o-1", "--app", f"{with_broker}:engine").stderr == ""
    assert shop.trigger("o-2").stderr == ""


def test_a_table_has_no_control_characters_of_the_data_and_no_colours_in_a_pipe(shop: Shop) -> None:
    shop.trigger("o-\x1b[2J[red]1")
    done = shop.ask("runs")

    assert "\x1b" not in done.stdout
    assert "orders/o-\\x1b[2J[red]1" in done.stdout


@pytest.mark.parametrize(("columns", "with_ids"), [(80, False), (120, True)])
def test_run_ids_are_listed_where_there_is_room(shop: Shop, columns: int, with_ids: bool) -> None:
    (run,) = lines(shop.trigger("o-1", "--json"))
    done = shop.ask("runs", columns=columns)

    assert (run["run_id"] in done.stdout) is with_ids
    assert max(len(line) for line in done.stdout.splitlines()) <= columns


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_long_note_is_cut_and_takes_nothing_from_the_other_columns(shop: Shop, columns: int) -> None:
    shop.trigger("o-1")
    shop.ask("pause", "orders/o-1", "--reason", "a very long story " * 20)
    done = shop.ask("runs", columns=columns)

    assert len(done.stdout.splitlines()) == 3
    for text in ("orders/o-1", "new", "paused", "changed", "a very", "…"):
        assert text in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= columns


def test_an_empty_list_says_so(shop: Shop) -> None:
    shop.trigger("o-1")

    assert shop.ask("runs", "--state", "completed").stdout == "No runs match.\n"


def test_watching_needs_a_terminal(shop: Shop) -> None:
    shop.trigger("o-1")
    done = shop.ask("runs", "--watch")

    assert (done.exit_code, "--watch needs a terminal" in done.stderr) == (2, True)


def test_the_timeline_tells_what_happened_who_did_it_and_why(shop: Shop) -> None:
    shop.trigger("o-1", "--actor", "ada")
    shop.ask("pause", "orders/o-1", "--reason", "stock\x07 is low", "--actor", "bob")
    shop.ask("resume", "orders/o-1", "--actor", "cleo")
    shop.work("o-1")
    done = shop.ask("show", "orders/o-1", columns=120)

    for text in (
        "orders/o-1  completed  in sent",
        "ada (trigger)",
        "paused",
        "bob (control): stock\\x07 is low",
        "cleo (control)",
        "new -> paid",
        "step charge",
        "paid -> sent, completed",
        '"total": 5.0',
    ):
        assert text in done.stdout


@pytest.mark.parametrize("worker", [False, True])
def test_a_pause_that_a_step_s_commit_applied_has_the_name_of_who_asked_for_it(shop: Shop, worker: bool) -> None:
    run_id = lines(shop.trigger("o-1", "--json"))[0]["run_id"]
    actor = run_id if worker else "bob"  # an instance's id looks as a run's does
    store = open_store(shop.url, migrate=True)
    paused = MoveRun(
        change_id="c",
        namespace="default",
        workflow="orders",
        run_id=run_id,
        version=1,
        from_status="new",
        from_state=RunState.INITIATED,
        to_status="paid",
        to_state=RunState.PAUSED,
        origin=Origin(Cause.STEP, name="shop.charge", actor=actor, reason="stock is low"),
    )
    assert store.commit([paused])[0].applied
    store.close()

    shown = shop.ask("show", "orders/o-1", columns=120).stdout

    assert ("bob (step charge): stock is low" in shown, " step charge: stock is low" in shown) == (not worker, worker)
    assert (re.search(r"^by +bob *$", shown, re.MULTILINE) is not None) is not worker


def test_the_way_that_a_run_took_is_drawn_with_and_without_its_code(shop: Shop) -> None:
    shop.trigger("order-1")
    shop.work("order-1")
    shop.trigger("order-2")
    without, with_code = (
        shop.ask("show", "orders/order-1", "--graph"),
        shop.run("show", "orders/order-2", "--graph", "--app", shop.target),
    )

    drawn = without.stdout[without.stdout.index("● new") :]
    assert [line.partition("  ")[0] for line in drawn.splitlines()] == ["● new", "▼ charge", "○ paid", "▼ send", "◆ sent"]
    assert "▼ charge  [1]" in drawn
    assert "▼ send  [2]" in drawn
    assert "◆ New  [here, " in with_code.stdout
    assert "▼ charge\n" in with_code.stdout, "not taken yet"


def test_a_drawing_is_not_for_programs(shop: Shop) -> None:
    shop.trigger("order-1")
    done = shop.ask("show", "orders/order-1", "--graph", "--json")

    assert (done.exit_code, done.stdout) == (2, "")


def test_the_object_is_left_out_when_nobody_wants_it(shop: Shop) -> None:
    shop.trigger("o-1")

    assert "total" not in shop.ask("show", "orders/o-1", "--no-object").stdout
    assert "object" not in lines(shop.ask("show", "orders/o-1", "--no-object", "--json"))[0]


def test_what_waits_for_a_run_is_shown(shop: Shop) -> None:
    shop.trigger("o-1")
    (view,) = lines(shop.ask("show", "orders/o-1", "--json"))

    assert [(row["kind"], row["attempts"], row["owner"]) for row in view["pending"]] == [("step", 0, None)]
    assert "Pending" in shop.ask("show", "orders/o-1").stdout


@pytest.mark.parametrize("run", ["nope", "orders/nope", "others/o-1"])
def test_a_run_that_is_not_there_is_code_4_with_a_remedy(shop: Shop, run: str) -> None:
    shop.trigger("o-1")
    done = shop.ask("show", run)

    assert done.exit_code == 4
    assert "flowdsl runs lists them" in done.stderr


def test_a_foreign_id_may_hold_slashes(shop: Shop) -> None:
    shop.trigger("o/1/2")

    assert "orders/o/1/2" in shop.ask("show", "orders/o/1/2").stdout


def test_a_run_is_paused_resumed_and_cancelled_by_id_or_by_name_without_its_code(shop: Shop) -> None:
    (run,) = lines(shop.trigger("o-1", "--json"))
    paused = lines(shop.ask("pause", run["run_id"], "--reason", "stock", "--json"))[0]
    resumed = lines(shop.ask("resume", "orders/o-1", "--json"))[0]
    cancelled = shop.ask("cancel", "orders/o-1", "--reason", "changed her mind")

    assert (paused["state"], paused["reason"]) == ("paused", "stock")
    assert (resumed["state"], resumed["reason"]) == ("running", None)
    assert cancelled.stdout == f"orders/o-1 is cancelled in new ({run['run_id']})\n"


def test_a_run_resumed_without_its_code_is_worked_on(shop: Shop) -> None:
    shop.trigger("o-1")
    shop.ask("pause", "orders/o-1", "--reason", "stock")
    shop.ask("resume", "orders/o-1")
    shop.work("o-1")

    assert listed(shop, "--state", "completed") == ["o-1"]


def test_a_run_that_refuses_does_not_keep_the_others_from_being_asked(shop: Shop) -> None:
    shop.trigger("o-1")
    shop.trigger("o-2")
    shop.ask("pause", "orders/o-1", "--reason", "stock")
    done = shop.ask("pause", "orders/o-1", "orders/nope", "orders/o-2", "--reason", "stock")

    assert done.exit_code == 5
    assert done.stderr.count("flowdsl: ") == 2
    assert sorted(listed(shop, "--state", "paused")) == ["o-1", "o-2"]


@pytest.mark.parametrize("verb", ["pause", "cancel"])
def test_stopping_a_run_needs_a_reason(shop: Shop, verb: str) -> None:
    done = shop.ask(verb, "orders/o-1")

    assert (done.exit_code, "--reason" in done.stderr) == (2, True)
