"""The order example: what it reads, what becomes of orders, and that it can be started twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from examples.order_processor.__main__ import main
from examples.order_processor.make_orders import make_orders
from examples.order_processor.order_file import SHIPPED, OrderFileError, read_orders
from examples.order_processor.processing import process
from examples.order_processor.services import Services
from examples.order_processor.workflow import OrderStatus, build
from flowdsl import Engine, RunState


def few(tmp_path: Path, count: int = 60) -> Path:
    path = tmp_path / "few.jsonl"
    path.write_bytes(b"".join(SHIPPED.read_bytes().splitlines(keepends=True)[:count]))
    return path


def arguments(tmp_path: Path, file: Path) -> list[str]:
    return [str(file), "--store", f"sqlite:///{tmp_path}/o.db", "--ledger", str(tmp_path / "pay.jsonl"), "--call-ms", "0"]


def test_the_shipped_file_is_what_the_generator_makes() -> None:
    assert list(read_orders(SHIPPED)) == make_orders(1000)


def test_every_order_ends_and_a_second_start_does_nothing_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = few(tmp_path)
    assert main([*arguments(tmp_path, file), "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert (first["started"], first["found"], first["unfinished"]) == (60, 0, 0)
    booked = (tmp_path / "pay.jsonl").read_text()
    assert main([*arguments(tmp_path, file), "--json"]) == 0
    second = json.loads(capsys.readouterr().out)
    assert (second["started"], second["found"]) == (0, 60)
    assert second["outcomes"].keys() == first["outcomes"].keys()
    assert {k: v["count"] for k, v in second["outcomes"].items()} == {k: v["count"] for k, v in first["outcomes"].items()}
    assert (tmp_path / "pay.jsonl").read_text() == booked


def test_the_table_shows_every_outcome(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(tmp_path, few(tmp_path, 20))) == 0
    out = capsys.readouterr().out
    assert "20 orders" in out
    assert "shipped" in out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "few.jsonl:3: not an order"),
        ('{"order_id":"x","customer":"y"}', "lines"),
        ('{"order_id":"order-00001","customer":"y","lines":[]}', "stands in line 1 too"),
    ],
)
def test_a_line_that_is_no_order_is_named(tmp_path: Path, line: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = few(tmp_path, 2)
    with file.open("a") as handle:
        handle.write(line + "\n")
    with pytest.raises(OrderFileError, match=r"few\.jsonl:3"):
        list(read_orders(file))
    assert main(arguments(tmp_path, file)) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_the_workflow_runs_on_any_store(tmp_path: Path) -> None:
    workflow = build(Services(tmp_path / "pay.jsonl", 0))
    with Engine.from_url(workflow, store="memory://") as engine:
        summary = process(engine, workflow, make_orders(30))
        assert summary.count == 30
        done = engine.runs(states=[RunState.COMPLETED], statuses=[OrderStatus.SHIPPED], limit=500)
        assert len(done.runs) == summary.outcomes["shipped"].count
