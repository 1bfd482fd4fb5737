"""The fleet on the command line."""

from __future__ import annotations

import json

from tests.unit.cli.conftest import Shop


def test_who_is_not_there_and_what_waits(shop: Shop) -> None:
    shop.trigger("o-1")
    shop.trigger("o-2")
    done = shop.ask("fleet", "--app", shop.target)

    assert done.exit_code == 0
    nobody, _, head, _, waits, _, others = done.stdout.splitlines()
    assert nobody == "No instance is alive in namespace 'default': nobody works on runs."
    assert head.split() == ["workflow", "for", "due", "oldest", "later", "consumers"]
    assert waits.split()[:4] == ["orders", "step", "new", "2"]
    assert waits.split()[5:] == ["0", "none"]
    assert others == "Nothing waits in 3 other lanes."


def test_every_lane_when_asked(shop: Shop) -> None:
    shop.trigger("o-1")
    found = shop.ask("fleet", "--app", shop.target, "--all").stdout

    assert [line.split()[1:3] for line in found.splitlines() if line.startswith("orders")] == [
        ["deletion", "0"],
        ["event", "0"],
        ["step", "new"],
        ["step", "paid"],
    ]
    assert "other lanes" not in found


def test_without_code_and_instances_it_says_how_to_know_more(shop: Shop) -> None:
    shop.trigger("o-1")

    assert shop.ask("fleet").stdout.splitlines()[-1] == (
        "What waits is known with the code (--app), or when an instance has told what it consumes."
    )


def test_live_instances_with_their_machine_and_process(shop: Shop) -> None:
    shop.trigger("o-1")
    engine = shop.loaded().engine()
    with engine:
        engine.latest(shop.loaded().orders, "o-1").wait()
        narrow = shop.ask("fleet", "--app", shop.target, columns=80).stdout
        (found,) = [json.loads(line) for line in shop.ask("fleet", "--json").stdout.splitlines()]
    (instance,) = found["instances"]
    head, _, row, *_ = narrow.splitlines()

    assert head.split() == ["instance", "machine", "process", "consumes", "lapses", "in"]
    assert row.startswith(f"{instance['instance']} ")
    assert f" {instance['machine']} " in row
    assert f" {instance['pid']} " in row
    assert "unknown" in row
    assert all(len(line.rstrip()) <= 80 for line in narrow.splitlines())
    assert "Nothing waits in any of 4 lanes." in narrow
