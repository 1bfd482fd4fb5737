"""The order example: what it reads, what becomes of orders, and that it can be started twice."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from examples.order_processor import __main__ as program
from examples.order_processor import processing
from examples.order_processor.make_orders import as_line, make_orders
from examples.order_processor.order_file import SHIPPED, OrderFileError, read_orders
from examples.order_processor.processing import process
from examples.order_processor.services import DoubleBookingError, Services
from examples.order_processor.workflow import Line, Order, OrderStatus, build
from flowdsl import Engine, RunState
from flowdsl.testing.stepped import SteppedEngine

CALM, FLAKY, DECLINED, FORGETFUL = "calm-1", "flaky-25", "declined-35", "forgetful-24"
"""Order ids for which the provider answers, is out of order at first, declines, and loses its first answer."""


def few(tmp_path: Path, count: int = 60) -> Path:
    path = tmp_path / "few.jsonl"
    path.write_text("".join(f"{as_line(order)}\n" for order in make_orders(count)))
    return path


def start(tmp_path: Path, file: Path, *more: str) -> int:
    where = ["--store", f"sqlite:///{tmp_path}/o.db", "--ledger", f"{tmp_path}/pay.db", "--call-ms", "0"]
    return program.main([str(file), *where, *more])


def answer(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_shipped_file_is_what_the_generator_makes() -> None:
    assert read_orders(SHIPPED).orders == make_orders(1000)


def test_every_order_ends_and_a_second_start_does_nothing_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = few(tmp_path)
    assert start(tmp_path, file, "--json") == 0
    first = answer(capsys)
    assert start(tmp_path, file, "--json") == 0
    second = answer(capsys)

    assert (first["started"], first["found"], first["unfinished"]) == (60, 0, 0)
    assert (second["started"], second["found"], second["unfinished"]) == (0, 60, 0)
    assert {name: second[name] for name in second if name not in ("started", "found")} == {
        name: first[name] for name in first if name not in ("started", "found")
    }


def test_the_money_adds_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert start(tmp_path, few(tmp_path, 300), "--json", "--workers", "3") == 0
    said = answer(capsys)

    assert set(said["outcomes"]) == {"shipped", "cancelled", "refunded", "rejected", "declined"}
    assert sum(outcome["orders"] for outcome in said["outcomes"].values()) == said["orders"] == 300
    assert said["charged_cents"] - said["refunded_cents"] == said["outcomes"]["shipped"]["cents"]
    assert said["refunded_cents"] == said["outcomes"]["refunded"]["cents"]
    assert said["repeated_requests"] > 0, "a lost answer was asked for again"


def test_the_table_shows_every_outcome_and_no_password(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert start(tmp_path, few(tmp_path, 20)) == 0
    out = capsys.readouterr().out

    assert "20 orders" in out
    assert "shipped" in out
    assert f"--store sqlite:///{tmp_path}/o.db" in out
    assert "20 orders had been started before" not in out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "few.jsonl:3: not an order"),
        ('{"order_id":"x","customer":"y"}', "lines"),
        ('{"order_id":"","customer":"y","lines":[]}', "$.order_id"),
        ('{"order_id":"x","customer":"y","lines":[{"sku":"mug","quantity":"2","unit_cents":1}]}', "].quantity`"),
        ('{"order_id":"order-00001","customer":"y","lines":[]}', "few.jsonl:3: order 'order-00001' is in line 1 too"),
        ("[" * 100_000, "few.jsonl:3: not an order"),
    ],
)
def test_a_line_that_is_no_order_is_named_and_stops_everything(
    tmp_path: Path, line: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = few(tmp_path, 2)
    with file.open("a") as handle:
        handle.write(f"{line}\n\n{as_line(make_orders(3)[2])}\n")
    assert start(tmp_path, file) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "o.db").exists()

    assert start(tmp_path, file, "--json", "--bad-lines", "skip") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["orders"] == 3
    assert said in captured.err


def test_a_file_without_orders_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "none.jsonl"
    file.write_text("\n \n")
    with pytest.raises(OrderFileError, match="no order"):
        read_orders(file)


def test_a_missing_file_and_a_store_that_nobody_knows_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert start(tmp_path, tmp_path / "absent.jsonl") == 2
    assert "absent.jsonl" in capsys.readouterr().err
    assert start(tmp_path, few(tmp_path), "--store", "sqlight:///x.db") == 2
    assert "sqlite" in capsys.readouterr().err


def test_a_ledger_of_another_store_is_refused_before_anybody_is_charged_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = few(tmp_path, 10)
    assert start(tmp_path, file) == 0
    assert start(tmp_path, file, "--store", f"sqlite:///{tmp_path}/other.db") == 2
    assert "belong to another store" in capsys.readouterr().err


def test_a_paused_order_is_waited_for_by_nobody_and_ends_after_a_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(processing, "LOOK", timedelta(seconds=0.2))
    file, workflow = few(tmp_path, 10), build(Services(tmp_path / "unused.db"))
    client = Engine.client(workflow, store=f"sqlite:///{tmp_path}/o.db")
    try:
        handles = client.trigger_many(workflow, [(order.order_id, order) for order in make_orders(3)], key=str)
        for handle in handles:
            handle.pause("a person looks at it")
        assert start(tmp_path, file) == 1
        assert "3 are paused" in capsys.readouterr().out
        for handle in handles:
            handle.resume()
        assert start(tmp_path, file, "--json") == 0
    finally:
        client.stop()
    assert answer(capsys)["unfinished"] == 0


def test_a_charge_is_made_once_whatever_the_provider_answers(tmp_path: Path) -> None:
    with Services(tmp_path / "pay.db", 0) as services:
        workflow = build(services)
        with SteppedEngine(workflow) as engine:
            handles = {
                name: engine.trigger(workflow, name, Order(name, "Ada", [Line("mug", 2, 300)]))
                for name in (CALM, FLAKY, DECLINED, FORGETFUL)
            }
            engine.run_until_idle()
            assert handles[CALM].record().state is RunState.COMPLETED
            assert handles[FORGETFUL].record().status == OrderStatus.VALIDATED, "it waits for its second attempt"
            engine.advance(timedelta(seconds=2))
            runs = {name: handle.run() for name, handle in handles.items()}
        balance = services.balance()

    assert {name: run.status for name, run in runs.items()} == {
        CALM: OrderStatus.SHIPPED,
        FLAKY: OrderStatus.SHIPPED,
        DECLINED: OrderStatus.DECLINED,
        FORGETFUL: OrderStatus.SHIPPED,
    }
    assert (balance.charged, balance.refunded, balance.repeated) == (1800, 0, 1)


def test_two_processes_with_one_ledger_charge_once(tmp_path: Path) -> None:
    with Services(tmp_path / "pay.db", 0) as one, Services(tmp_path / "pay.db", 0) as other:
        assert one.balance() == other.balance()  # both have opened the ledger before anything is in it
        receipts = {one.charge("run:2", CALM, 500, 1), other.charge("run:2", CALM, 500, 2)}
        with pytest.raises(DoubleBookingError):
            other.charge("run:4", CALM, 500, 1)
        assert len(receipts) == 1
        assert one.balance().charged == 500


def test_the_workflow_runs_on_any_store(tmp_path: Path) -> None:
    with Services(tmp_path / "pay.db", 0) as services:
        workflow = build(services)
        with Engine.from_url(workflow, store="memory://") as engine:
            summary = process(engine, workflow, make_orders(30))
            done = engine.runs(states=[RunState.COMPLETED], statuses=[OrderStatus.SHIPPED], limit=500)
    assert summary.count == 30
    assert [outcome.count for outcome in summary.outcomes if outcome.name == "shipped"] == [len(done.runs)]
