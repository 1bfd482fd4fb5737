"""One verb on many runs, from the command line."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from typer.testing import Result

from flowdsl.cli.commands.bulk import parse_rate
from flowdsl.cli.problem import UsageProblem
from flowdsl.engine.bulk import Bulk
from flowdsl.engine.bulk_operation import BulkOperation
from flowdsl.errors import StoreUnavailableError
from flowdsl.model.change import PutItems
from tests.unit.cli.conftest import Shop

WHERE = ("--where", "workflow=orders and state in (initiated, running, paused)")
WHY = ("--reason", "the bank is away")


def lines(done: Result) -> list[dict[str, Any]]:
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def listed(shop: Shop, *arguments: str) -> list[str]:
    return sorted(run["foreign_id"] for run in lines(shop.ask("runs", "--json", *arguments)))


@pytest.fixture
def three(shop: Shop) -> Shop:
    for foreign_id in ("o-1", "o-2", "o-3"):
        shop.trigger(foreign_id)
    return shop


def test_many_runs_are_paused_resumed_and_cancelled_at_once(three: Shop) -> None:
    paused = three.ask("runs", "pause", "--where", "foreign_id != o-3", *WHY, "--yes", "--rate", "none")
    assert paused.stdout == "pause: 2 done\n"
    assert listed(three, "--state", "paused") == ["o-1", "o-2"]

    three.ask("runs", "resume", "--where", "reason~bank", *WHY, "--yes")
    assert listed(three, "--state", "running") == ["o-1", "o-2"]

    (report,) = lines(three.ask("runs", "cancel", *WHERE, *WHY, "--yes", "--limit", "2", "--json"))
    assert (report["done"], report["finished"]) == (2, True)
    assert listed(three, "--state", "cancelled") == ["o-1", "o-2"]


def test_the_runs_that_are_meant_are_listed(three: Shop) -> None:
    three.ask("pause", "orders/o-2", "--reason", "the bank is away")

    assert listed(three, "--where", "reason~bank") == ["o-2"]
    assert listed(three, "--where", "state != paused", "--limit", "1", "--order", "oldest") == ["o-1"]
    both = three.ask("runs", "--where", "reason~bank", "--state", "paused")
    assert (both.exit_code, "--where says it all" in both.stderr) == (2, True)


def test_a_dry_run_lists_the_runs_and_changes_nothing(three: Shop) -> None:
    table = three.ask("runs", "cancel", *WHERE, *WHY, "--dry-run")
    each = lines(three.ask("runs", "retry", *WHERE, *WHY, "--dry-run", "--json"))

    assert "orders/o-2" in table.stdout
    assert table.stdout.endswith("cancel: 3 would be done\n")
    assert [(turn["run"]["foreign_id"], turn["what"]) for turn in each] == [(f"o-{n}", "refused") for n in (1, 2, 3)]
    assert "has not failed" in each[0]["why"]
    assert listed(three, "--state", "initiated") == ["o-1", "o-2", "o-3"]
    assert lines(three.ask("audit", "--json")) == []


def test_runs_that_refuse_are_told_with_the_reason_and_code_5(three: Shop) -> None:
    done = three.ask("runs", "retry", *WHERE, *WHY, "--yes")

    assert done.exit_code == 5
    assert done.stdout.startswith("retry: 0 done, 3 refused\n  3 x its step has not failed (e.g. run ")


def test_verbs_that_find_nothing_say_what_was_looked_for_and_where_the_runs_are_that_match(three: Shop) -> None:
    three.ask("pause", "orders/o-1", "--reason", "stock")
    done = three.ask("runs", "delete", "--where", "workflow=orders", *WHY, "--yes")
    (report,) = lines(as_json := three.ask("runs", "delete", "--where", "workflow=orders", *WHY, "--yes", "--json"))

    assert (done.exit_code, done.stdout) == (0, "delete: 0 done\n")
    assert report["done"] == 0
    for told in (
        done.stderr,
        as_json.stderr,
        three.ask("runs", "delete", "--where", "workflow=orders", *WHY, "--dry-run").stderr,
    ):
        assert "delete acts on runs that are completed or cancelled; none of these matches: workflow=orders\n" in told
        assert "Those that match are in other states: 2 initiated, 1 paused.\n" in told
    assert "none of these matches" not in three.ask("runs", "resume", "--where", "workflow=orders", *WHY, "--yes").stderr


def test_verbs_that_find_nothing_do_not_read_the_store_again_for_what_it_cannot_be_asked(
    three: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bulk, "select", lambda *_, **__: pytest.fail("the store was read once more"))
    done = three.ask("runs", "pause", "--where", "workflow=orders and error~nowhere", *WHY, "--yes")

    assert (done.exit_code, "none of these matches: workflow=orders and error~nowhere" in done.stderr) == (0, True)


def test_a_name_in_a_where_that_neither_the_code_nor_a_run_has_is_refused(three: Shop) -> None:
    with_code = three.run("runs", "pause", "--where", "status=NEW", *WHY, "--yes", "--app", three.target)
    without = three.ask("runs", "pause", "--where", "status=nwe", *WHY, "--yes")
    workflow = three.ask("runs", "pause", "--where", "workflow=ordres", *WHY, "--yes")

    assert (with_code.exit_code, with_code.stdout, with_code.stderr.count("\n")) == (2, "", 1)
    assert (
        "has no status 'NEW', and no stored run is in such a one. Did you mean 'new'? It has new, paid, sent." in with_code.stderr
    )
    assert (without.exit_code, without.stdout) == (0, "pause: 0 done\n")
    assert "No stored run is in a status 'nwe'. Did you mean 'new'? The newest are in new." in without.stderr
    assert "No stored run is of a workflow 'ordres'. Did you mean 'orders'?" in workflow.stderr


def test_runs_are_moved_to_a_status_named_as_in_the_code(three: Shop) -> None:
    done = three.run("runs", "move", *WHERE, *WHY, "--to", "PAID", "--yes", "--app", three.target)

    assert done.stdout == "move: 3 done\n"
    assert listed(three, "--status", "paid") == ["o-1", "o-2", "o-3"]


def test_the_data_of_finished_runs_is_erased(three: Shop) -> None:
    three.ask("runs", "cancel", "--where", "foreign_id=o-1", *WHY, "--yes")
    done = three.ask("runs", "delete", "--where", "workflow=orders", *WHY, "--yes")

    assert done.stdout == "delete: 1 done\n"
    assert listed(three, "--state", "requested_data_deleted") == ["o-1"]


def test_the_audit_trail_lists_operations(three: Shop) -> None:
    three.ask("runs", "pause", *WHERE, *WHY, "--yes", "--actor", "ada")
    three.ask("runs", "cancel", *WHERE, "--reason", "never \x07 mind", "--yes", "--actor", "bob", "--force")

    cancel, pause = lines(three.ask("audit", "--json"))
    table = three.ask("audit").stdout
    assert (pause["verb"], pause["actor"], pause["reason"], pause["done"]) == ("pause", "ada", "the bank is away", 3)
    assert (cancel["verb"], cancel["details"], cancel["where"]) == ("cancel", {"force": "yes"}, WHERE[1])
    for text in ("cancel force=yes", "never \\x07 mind", "bob", cancel["operation"]):
        assert text in table
    narrow = three.ask("audit", columns=80).stdout.splitlines()
    assert max(map(len, narrow)) <= 80
    assert "operation" not in narrow[0]
    assert any(re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ +pause", line) for line in narrow), "a time is on one line"
    assert "the bank is away" in three.ask("audit", columns=120).stdout, "a reason is not folded into a column of words"
    assert lines(three.ask("audit", "--json", "--after", cancel["key"])) == [pause]
    assert f"More: --after {cancel['key']}" in three.ask("audit", "--limit", "1").stderr


def test_an_operation_that_was_interrupted_is_gone_on_with(three: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = BulkOperation.run

    def interrupted(operation: BulkOperation, *_: Any) -> Any:
        operation.step()
        raise KeyboardInterrupt

    monkeypatch.setattr(BulkOperation, "run", interrupted)
    broken = three.ask("runs", "pause", *WHERE, *WHY, "--yes", "--rate", "1")
    assert broken.exit_code == 130
    (entry,) = lines(three.ask("audit", "--json"))
    assert f"flowdsl runs pause --continue {entry['operation']} goes on." in broken.stderr
    assert "not finished" in three.ask("audit").stdout
    assert "so far" in three.ask("audit", columns=80).stdout

    monkeypatch.setattr(BulkOperation, "run", whole)
    wrong = three.ask("runs", "cancel", "--continue", entry["operation"])
    assert (wrong.exit_code, "is a pause" in wrong.stderr) == (2, True)
    done = three.ask("runs", "pause", "--continue", entry["operation"])
    assert (done.exit_code, done.stdout) == (0, "pause: 3 done\n")
    again = three.ask("runs", "pause", "--continue", entry["operation"])
    assert (again.exit_code, "is finished" in again.stderr) == (5, True)


def test_a_store_that_goes_away_in_the_middle_is_code_3_and_says_how_to_go_on(
    three: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flowdsl_sql.record_store import SqlRecordStore

    real, kept = SqlRecordStore.commit, [True, False]

    def commit(store: SqlRecordStore, changes: Any) -> Any:
        if any(isinstance(change, PutItems) for change in changes) and not kept.pop(0):
            raise StoreUnavailableError("the database is away.")
        return real(store, changes)

    monkeypatch.setattr(SqlRecordStore, "commit", commit)
    done = three.ask("runs", "pause", *WHERE, *WHY, "--yes")

    assert done.exit_code == 3
    assert "stopped after 3 runs" in done.stderr
    assert "--continue ID" in done.stderr


@pytest.mark.parametrize(("typed", "runs"), [("y\n", ["o-1", "o-2", "o-3"]), ("n\n", []), ("\n", [])])
def test_on_a_terminal_it_asks_first_and_says_how_many(
    three: Shop, monkeypatch: pytest.MonkeyPatch, typed: str, runs: list[str]
) -> None:
    monkeypatch.setattr("flowdsl.cli.commands.bulk._somebody_is_there", lambda: True)
    done = three.run("runs", "pause", *WHERE, *WHY, "--store", three.url, typed=typed)

    assert "pause: 3 would be done" in done.stdout
    assert "Do it?" in done.stderr
    assert done.exit_code == (0 if runs else 130)
    assert listed(three, "--state", "paused") == runs


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("retry", *WHY, "--yes"), "--where is missing"),
        (("retry", *WHERE, "--yes"), "--reason is missing"),
        (("retry", *WHERE, *WHY), "nobody is there to ask. Look with --dry-run first, then give --yes."),
        (("retry", "--where", "state=puased", *WHY, "--yes"), "Did you mean 'paused'?"),
        (("retry", *WHERE, *WHY, "--yes", "--rate", "fast"), "--rate 'fast' is no rate"),
        (("move", *WHERE, *WHY, "--yes"), "--to is missing"),
        (("move", *WHERE, *WHY, "--yes", "--to", "paid"), "--app MODULE:ENGINE"),
        (("retry", "--continue", "x", *WHERE), "--continue goes on with what was ordered"),
    ],
)
def test_an_operation_that_cannot_be_is_refused_in_one_line(three: Shop, arguments: tuple[str, ...], says: str) -> None:
    done = three.ask("runs", *arguments)

    assert (done.exit_code, done.stdout) == (2, "")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert listed(three, "--state", "initiated") == ["o-1", "o-2", "o-3"]


def test_a_move_to_a_status_that_there_is_not_is_refused(three: Shop) -> None:
    done = three.run("runs", "move", *WHERE, *WHY, "--to", "piad", "--yes", "--app", three.target)

    assert (done.exit_code, "Did you mean 'paid'?" in done.stderr) == (2, True)


def test_options_in_front_of_the_command_are_refused(three: Shop) -> None:
    done = three.run("runs", "--state", "paused", "cancel", *WHERE, *WHY, "--yes", "--store", three.url)

    assert (done.exit_code, "--state stands before 'cancel'" in done.stderr) == (2, True)
    assert listed(three, "--state", "cancelled") == []


@pytest.mark.parametrize(
    ("text", "rate"), [("50/s", 50), ("50", 50), ("30/m", 0.5), ("36/h", 0.01), ("0.5/s", 0.5), ("none", None)]
)
def test_a_rate_is_read(text: str, rate: float | None) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "0", "-1/s", "50/d", "50 /s", "٣/s", "1e3"])
def test_a_text_that_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(UsageProblem, match="is no rate"):
        parse_rate(text)


# -- single runs --------------------------------------------------------------------------------------------------------------


def test_a_run_is_moved_by_name_with_its_code_at_hand(three: Shop) -> None:
    with_code = three.run("move", "orders/o-1", "--to", "paid", *WHY, "--app", three.target)
    without = three.ask("move", "orders/o-2", "--to", "paid", *WHY)

    assert with_code.stdout.startswith("orders/o-1 is running in paid (")
    assert (without.exit_code, "--app" in without.stderr) == (2, True)


def test_a_run_of_which_nothing_failed_is_not_retried(three: Shop) -> None:
    done = three.ask("retry", "orders/o-1", "orders/o-2")

    assert (done.exit_code, done.stderr.count("has not failed")) == (5, 2)


def test_a_finished_run_is_started_once_more(shop: Shop) -> None:
    (first,) = lines(shop.trigger("o-1", "--json"))
    shop.work("o-1")
    (again,) = lines(
        shop.run("restart", "orders/o-1", "--from", "PAID", "-o", '{"total": 9}', "--key", "k", "--app", shop.target, "--json")
    )
    repeated = shop.run("restart", first["run_id"], "--key", "k", "--app", shop.target)
    (view,) = lines(shop.ask("show", again["run_id"], "--json"))

    assert (again["parent_run_id"], again["created"]) == (first["run_id"], True)
    assert (view["run"]["status"], view["object"]["total"], view["run"]["parent_run_id"]) == ("paid", 9, first["run_id"])
    assert repeated.stdout == f"orders/o-1 was started again before with this key ({again['run_id']})\n"


def test_a_run_that_is_not_finished_is_not_started_once_more(three: Shop) -> None:
    done = three.run("restart", "orders/o-1", "--app", three.target)

    assert (done.exit_code, "only a finished run is restarted" in done.stderr) == (5, True)
