"""Dead letters on the command line: listed, shown, replayed and dropped."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from flowdsl.engine.dead_letters import Replay
from flowdsl.errors import ConfigurationError
from flowdsl.model.change import PutItems
from flowdsl.model.dead_letter import DeadLetter, bury
from flowdsl_sql.record_store import open_store
from tests.unit.cli.conftest import Shop
from tests.unit.cli.test_cli_runs import lines

BODIES = {"l-1": b'{"order": 1}', "l-2": "räum".encode(), "l-3": b"\xff\x00"}


@pytest.fixture
def buried(shop: Shop) -> Iterator[Shop]:
    store = open_store(shop.url, migrate=True)
    for number, (letter_id, body) in enumerate(BODIES.items()):
        letter = DeadLetter(
            letter_id=letter_id,
            origin="hook",
            workflow="orders",
            name="tell" if number else "warn",
            error="RuntimeError: \x1b[31mno",
            attempts=number,
            buried_at=datetime(2030, 1, 1, tzinfo=UTC),
            foreign_id=f"o-{number}",
            body=body,
        )
        assert store.commit([PutItems(change_id=letter_id, namespace="default", items=bury(letter))])[0].applied
    yield shop
    store.close()


def listed(shop: Shop, *arguments: str) -> list[str]:
    return [letter["letter_id"] for letter in lines(shop.ask("dead-letters", "list", "--json", *arguments))]


def test_letters_are_listed(buried: Shop) -> None:
    assert listed(buried) == ["l-1", "l-2", "l-3"]
    assert listed(buried, "--name", "tell", "--workflow", "orders", "--origin", "hook") == ["l-2", "l-3"]
    assert listed(buried, "--foreign-id", "o-1") == ["l-2"]
    assert listed(buried, "--limit", "2", "--after", "l-1") == ["l-2", "l-3"]
    table = buried.ask("dead-letters", "list", "--limit", "1")
    assert "hook orders/warn" in table.stdout
    assert "\\x1b[31mno" in table.stdout
    assert "More: --after l-1" in table.stderr
    assert "No dead letters match." in buried.ask("dead-letters", "list", "--name", "nobody").stdout


@pytest.mark.parametrize(("letter_id", "body"), [("l-1", {"order": 1}), ("l-2", "räum"), ("l-3", "/wA=")])
def test_a_letter_is_shown_with_what_it_holds(buried: Shop, letter_id: str, body: Any) -> None:
    shown = lines(buried.ask("dead-letters", "show", letter_id, "--json"))[0]
    without = lines(buried.ask("dead-letters", "show", letter_id, "--json", "--no-body"))[0]

    assert (shown["letter"]["letter_id"], shown["body"]) == (letter_id, body)
    assert "body" not in without
    assert "RuntimeError" in buried.ask("dead-letters", "show", letter_id).stdout


def test_a_dropped_letter_leaves_its_reason(buried: Shop) -> None:
    done = buried.ask("dead-letters", "drop", "l-1", "nothing", "l-2", "--reason", "seen to", "--actor", "ada")

    assert done.exit_code == 4, "one of them is not there"
    assert ("dropped l-1" in done.stdout, "'nothing'" in done.stderr) == (True, True)
    assert listed(buried) == ["l-3"]
    assert buried.ask("dead-letters", "show", "l-1").exit_code == 4


def test_all_that_match_are_dropped(buried: Shop) -> None:
    assert buried.ask("dead-letters", "drop", "--all", "--name", "tell", "--reason", "old").exit_code == 0
    assert listed(buried) == ["l-1"]


def test_a_replay_runs_the_apps_code(buried: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def replay(letter: DeadLetter) -> Replay:
        def call() -> None:
            if letter.letter_id == "l-2":
                raise RuntimeError("still no")

        if letter.letter_id == "l-1":
            raise ConfigurationError("dead letter l-1 cannot be replayed: there is no message id.")
        return Replay(call)

    monkeypatch.setattr("flowdsl.engine.dead_letters.DeadLetters._replay_of", lambda _, letter: replay(letter))

    done = buried.run("dead-letters", "replay", "l-1", "l-2", "l-3", "--app", buried.target, "--actor", "ada")

    assert done.exit_code == 2, "the first that went wrong says so, and keeps none of the others"
    assert "there is no message id" in done.stderr
    assert "still no" in done.stderr
    assert listed(buried) == ["l-1", "l-2"]
    (entry,) = lines(buried.ask("dead-letters", "show", "l-2", "--json"))[0]["audit"]
    assert (entry["action"], entry["actor"]) == ("replayed in vain", "ada")
    assert "replayed in vain by ada" in buried.ask("dead-letters", "show", "l-2").stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("replay", "l-1"), "a replay runs your code"),
        (("drop", "--reason", "r"), "which letters?"),
        (("drop", "l-1", "--all", "--reason", "r"), "which letters?"),
        (("drop", "l-1", "--name", "tell", "--reason", "r"), "which letters?"),
    ],
)
def test_what_cannot_be_meant_is_refused(buried: Shop, arguments: tuple[str, ...], says: str) -> None:
    done = buried.ask("dead-letters", *arguments)

    assert (done.exit_code, says in done.stderr) == (2, True), done.stderr
    assert len(listed(buried)) == 3
