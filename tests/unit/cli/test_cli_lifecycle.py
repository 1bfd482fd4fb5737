"""Callbacks and deletion on the command line, and what show tells of timers, kept callbacks and hooks."""

from __future__ import annotations

import json
import sys
import threading
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from flowdsl.engine.engine import Engine
from tests.unit.cli.conftest import Shop
from tests.unit.cli.test_cli_runs import lines

PARCELS = """
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from flowdsl import Engine, Run, Workflow


class Stage(StrEnum):
    PACKED = "packed"
    WAITING = "waiting"
    COLLECTED = "collected"
    RETURNED = "returned"


@dataclass
class Parcel:
    driver: str = ""


@dataclass
class PickUp:
    driver: str


parcels = Workflow("parcels", object_type=Parcel, status_type=Stage)


@parcels.step(from_=Stage.PACKED, to=Stage.WAITING)
def pack(run):
    pass


@parcels.callback(from_=Stage.WAITING, to=Stage.COLLECTED, keep_for=timedelta(days=400))
def pick_up(run, payload: PickUp):
    if payload.driver == "Eve":
        raise RuntimeError("an unknown driver")
    run.object.driver = payload.driver


@parcels.callback(from_=Stage.WAITING, to=Stage.RETURNED, name="sent back")
def sent_back(run):
    pass


@parcels.timeout(from_=Stage.WAITING, to=Stage.RETURNED, after=timedelta(days=3, hours=1))
def nobody_came(run):
    pass


@parcels.timeout(from_=Stage.WAITING, to=Stage.RETURNED, at=lambda run, now: None, name="deadline")
def too_late(run):
    pass


@parcels.on_cancel
def tell(run):
    raise RuntimeError("nobody answers")


def engine():
    return Engine.from_url(parcels, store={url!r})
"""


class Depot:
    """The parcels of a shop's database."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.module = shop.write("parcels", PARCELS.replace("{url!r}", repr(shop.url)))
        self.target = f"{self.module}:engine"

    def call(
        self, foreign_id: str, *more: str, payload: str = '{"driver": "Ada"}', name: str = "pick_up", typed: str | None = None
    ) -> Any:
        words = ["callback", self.target, "parcels", foreign_id, "waiting", "--payload", payload, "--name", name, *more]
        return self.shop.run(*words, typed=typed)

    def start(self, foreign_id: str) -> str:
        """A parcel that has only been triggered; its run id."""
        done = self.shop.run("trigger", self.target, "parcels", foreign_id, "--object", "{}", "--json")
        run_id: str = lines(done)[0]["run_id"]
        return run_id

    def waiting(self, foreign_id: str) -> str:
        """One that has arrived."""
        run_id = self.start(foreign_id)
        with self.engine() as engine:
            engine.handle(run_id).wait(self._loaded().Stage.WAITING, timeout=timedelta(seconds=30))
        return run_id

    def work(self, run_id: str) -> None:
        """Let a worker erase the data of this run."""
        erased = threading.Event()
        with self.engine() as engine:
            handle = engine.handle(run_id)
            while handle.receipt() is None:
                assert not erased.wait(0.05)

    def engine(self) -> Engine:
        engine: Engine = self._loaded().engine()
        return engine

    def _loaded(self) -> ModuleType:
        return sys.modules[self.module]

    def shown(self, run: str) -> Any:
        return lines(self.shop.ask("show", run, "--json"))[0]


@pytest.fixture
def depot(shop: Shop) -> Depot:
    return Depot(shop)


# -- callbacks ----------------------------------------------------------------------------------------------------------------


def test_a_callback_moves_a_run_here_and_now(depot: Depot) -> None:
    run_id = depot.waiting("p-1")

    done = depot.call("p-1", "--actor", "courier")

    assert (done.exit_code, done.stdout) == (0, f"parcels/p-1 applied ({run_id})\n")
    shown = depot.shown("parcels/p-1")
    assert (shown["run"]["status"], shown["object"]["driver"]) == ("collected", "Ada")
    assert (shown["history"][-1]["cause"], shown["history"][-1]["actor"]) == ("callback", "courier")


def test_an_early_callback_is_kept_and_shown_with_who_called_and_until_when(depot: Depot) -> None:
    run_id = depot.start("p-1")

    done = depot.call("p-1", "--actor", "courier", "--key", "event-7", "--json")
    again = depot.call("p-1", "--key", "event-7", "--json")

    assert lines(done) == [
        {
            "workflow": "parcels",
            "foreign_id": "p-1",
            "run_id": run_id,
            "outcome": "kept",
            "accepted": True,
            "detail": "the run is initiated in 'packed'",
        }
    ]
    assert (again.exit_code, lines(again)[0]["outcome"]) == (0, "duplicate")
    (kept,) = [row for row in depot.shown(run_id)["pending"] if row["kind"] == "callback"]
    assert (kept["name"], kept["receiver"], kept["by"], kept["due_at"]) == ("pick_up", "waiting", "courier", None)
    assert "payload" not in kept
    table = depot.shop.ask("show", run_id).stdout
    assert "kept callback pick_up for waiting by courier, kept until " in table
    assert "when it is there" in table
    assert "Ada" not in table.split("Object")[0]


def test_a_payload_comes_from_a_file_or_standard_input(depot: Depot, tmp_path: Path) -> None:
    depot.start("p-1")
    depot.start("p-2")
    (tmp_path / "payload.json").write_text('{"driver": "Ada"}')

    assert depot.call("p-1", payload=f"@{tmp_path / 'payload.json'}").exit_code == 0
    assert depot.call("p-2", payload="-", typed='{"driver": "Bob"}').exit_code == 0
    missing = depot.call("p-2", payload="@nowhere.json")
    assert (missing.exit_code, "--payload takes JSON, @FILE or -" in missing.stderr) == (2, True)


@pytest.mark.parametrize(
    ("foreign_id", "payload", "code", "said"),
    [
        ("nobody", '{"driver": "Ada"}', 4, "parcels/nobody unknown run: parcels has no run for 'nobody'"),
        ("ended", '{"driver": "Ada"}', 5, "parcels/ended run stopped: the run is completed"),
        ("p-1", '{"drver": "Ada"}', 2, "parcels/p-1 refused payload: the payload is not a PickUp"),
        ("p-1", '{"driver": "Eve"}', 1, "the callback failed, nothing was stored: RuntimeError: an unknown driver"),
    ],
)
def test_what_comes_to_nothing_has_a_code_and_a_line(depot: Depot, foreign_id: str, payload: str, code: int, said: str) -> None:
    depot.waiting("p-1")
    if foreign_id == "ended":
        depot.waiting("ended")
        depot.call("ended")

    done = depot.call(foreign_id, payload=payload)

    assert (done.exit_code, done.stdout) == (code, "")
    assert said in done.stderr
    assert depot.shown("parcels/p-1")["run"]["status"] == "waiting"


def test_a_status_without_a_callback_is_wrong_usage_and_says_which_have_some(depot: Depot) -> None:
    done = depot.shop.run("callback", depot.target, "parcels", "p-1", "PACKED")

    assert (done.exit_code, "or call back in 'waiting'." in done.stderr) == (2, True), done.stderr


def test_which_of_several_is_meant_and_one_run_of_a_foreign_id(depot: Depot) -> None:
    first = depot.waiting("p-1")

    unnamed = depot.shop.run("callback", depot.target, "parcels", "p-1", "WAITING")
    assert (unnamed.exit_code, "'pick_up', 'sent back'" in unnamed.stderr) == (2, True)
    assert depot.call("p-1", "--run", first, name="sent back", payload="").exit_code == 0
    second = depot.waiting("p-1")
    late = depot.call("p-1", "--run", first)
    assert (late.exit_code, "run stopped" in late.stderr) == (5, True)
    assert depot.shown(second)["run"]["status"] == "waiting"


# -- what waits ---------------------------------------------------------------------------------------------------------------


def test_timers_are_shown_with_their_time_and_stand_still_in_a_pause(depot: Depot) -> None:
    run_id = depot.waiting("p-1")

    table = depot.shop.ask("show", run_id).stdout
    rows = {row["name"]: row for row in depot.shown(run_id)["pending"]}

    assert "timeout nobody_came" in table
    assert "in 3d00h" in table
    assert "never" in table, "the deadline is none"
    assert (rows["deadline"]["due_at"], rows["nobody_came"]["kind"]) == (None, "timeout")
    depot.shop.ask("pause", run_id, "--reason", "lunch")
    assert "stands still" in depot.shop.ask("show", run_id).stdout


def test_hooks_that_are_still_to_be_told_are_shown(depot: Depot) -> None:
    run_id = depot.waiting("p-1")
    depot.shop.ask("cancel", run_id, "--reason", "lost")

    assert "hook tell to be told of the cancel" in depot.shop.ask("show", run_id).stdout
    (row,) = depot.shown(run_id)["pending"]
    assert (row["kind"], row["name"], row["receiver"]) == ("hook", "tell", "cancel")


# -- deletion -----------------------------------------------------------------------------------------------------------------


def test_data_is_deleted_by_a_worker_and_the_receipt_is_shown(depot: Depot) -> None:
    run_id = depot.waiting("p-1")
    refused = depot.shop.ask("delete", run_id, "--reason", "the customer asked")
    assert (refused.exit_code, "Cancel it first" in refused.stderr) == (5, True)
    depot.call("p-1")

    done = depot.shop.ask("delete", "parcels/p-1", "--reason", "the customer asked", "--actor", "Ada")

    assert (done.exit_code, done.stdout) == (0, f"parcels/p-1: a worker erases its data ({run_id})\n")
    assert "erasing of its data" in depot.shop.ask("show", run_id).stdout
    assert depot.shown(run_id)["receipt"] is None
    depot.work(run_id)
    shown = depot.shown(run_id)
    assert (shown["run"]["state"], shown["object"]) == ("data_deleted", None)
    assert (shown["receipt"]["requested_by"], shown["receipt"]["object"]) == ("Ada", "erased")
    table = depot.shop.ask("show", run_id).stdout
    assert "Erased" in table
    assert "asked by      Ada" in table


def test_a_deletion_is_json_where_a_program_reads_and_needs_a_reason(depot: Depot) -> None:
    run_id = depot.waiting("p-1")
    depot.call("p-1")

    assert depot.shop.ask("delete", run_id).exit_code == 2
    (view,) = lines(depot.shop.ask("delete", run_id, "--reason", "asked to", "--json"))
    assert (view["run_id"], view["state"]) == (run_id, "requested_data_deleted")


# -- hooks --------------------------------------------------------------------------------------------------------------------


def cancelled_before(depot: Depot, *foreign_ids: str) -> None:
    """Runs that were cancelled when nobody listened."""
    for foreign_id in foreign_ids:
        depot.start(foreign_id)
        assert depot.shop.ask("cancel", f"parcels/{foreign_id}", "--reason", "lost").exit_code == 0


def test_a_hook_is_told_of_the_past_and_what_it_fails_to_take_is_a_dead_letter(depot: Depot) -> None:
    cancelled_before(depot, "p-1", "p-2")

    failed = depot.shop.run("hooks", "replay", depot.target, "parcels", "tell", "--json")
    assert failed.exit_code == 1
    assert json.loads(failed.stdout) == {"workflow": "parcels", "hook": "tell", "told": 0, "failed": 2}
    assert "dead-letters list --origin hook" in failed.stderr
    assert len(lines(depot.shop.ask("dead-letters", "list", "--origin", "hook", "--json"))) == 2

    text = PARCELS.replace("{url!r}", repr(depot.shop.url)).replace('raise RuntimeError("nobody answers")', "pass")
    patient = depot.shop.write("patient", text)
    done = depot.shop.run("hooks", "replay", f"{patient}:engine", "parcels", "tell")
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "parcels/tell: 2 told, 0 failed")
    none = depot.shop.run("hooks", "replay", f"{patient}:engine", "parcels", "tell", "--since", "2999-01-01", "--json")
    assert (none.exit_code, lines(none)[0]["told"]) == (0, 0)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("parcels", "nobody"), 2, "has no hook 'nobody'"),
        (("parcel", "tell"), 2, "Did you mean 'parcels'?"),
        (("parcels", "tell", "--since", "once"), 2, "neither a time nor a span"),
    ],
)
def test_a_replay_of_what_there_is_not_is_refused(depot: Depot, words: tuple[str, ...], code: int, said: str) -> None:
    depot.start("p-1")

    done = depot.shop.run("hooks", "replay", depot.target, *words)

    assert (done.exit_code, said in done.stderr) == (code, True), done.stderr


def test_a_replay_that_is_interrupted_says_how_far_it_came(depot: Depot) -> None:
    cancelled_before(depot, "p-1", "p-2", "p-3")
    text = PARCELS.replace("{url!r}", repr(depot.shop.url)).replace(
        'raise RuntimeError("nobody answers")', 'if run.foreign_id == "p-3":\n        raise KeyboardInterrupt'
    )
    target = f"{depot.shop.write('hasty', text)}:engine"

    done = depot.shop.run("hooks", "replay", target, "parcels", "tell")

    assert (done.exit_code, "Stopped: 2 told, 0 failed." in done.stderr) == (130, True), done.stderr
