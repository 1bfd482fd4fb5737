"""The page on a run's life tells the truth: its workflow runs, and its tables name what there is."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from flowdsl import CallbackOutcome, CallbackResult, RunState
from flowdsl.dsl.spec import HookEvent
from flowdsl.engine.control import default_actor
from flowdsl.model.event import ConnectorEvent

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "lifecycle.md").read_text("utf-8")
(BLOCK,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[ModuleType]:
    """The page's code, as a module."""
    path = tmp_path / "page_lifecycle.py"
    path.write_text(BLOCK, "utf-8")
    spec = spec_from_file_location("page_lifecycle", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["page_lifecycle"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["page_lifecycle"]


def test_the_program_does_what_it_says(page: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page.main(f"sqlite:///{tmp_path / 'orders.db'}")

    assert "applied shipped Ada" in capsys.readouterr().out


def test_the_timeout_the_hook_and_the_deletion_do_what_they_say(
    page: Any, flow_engine: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    engine = flow_engine(page.orders)
    handle = engine.trigger(page.orders, "order-1", page.Order(total=99.0))
    engine.run_until_idle()
    assert handle.run().status is page.OrderStatus.AWAITING_PICKUP
    handle.pause("lunch")
    engine.advance(timedelta(days=30))
    handle.resume()
    engine.advance(timedelta(days=3))
    assert handle.record().status == "cancelled"
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("order-1")]
    assert told == [f"order-1 is Paused (lunch, by {default_actor()})", "order-1 is Completed"]
    handle.delete_data("asked to")
    engine.run_until_idle()

    assert (handle.record().state, handle.receipt().object) == (RunState.DATA_DELETED, "scrubbed by scrub")
    engine.advance(timedelta(days=91))
    assert handle.record().state is RunState.DATA_DELETED, "and is not kept_completed any more"


def test_the_connector_calls_back(page: Any, flow_engine: Callable[..., Any]) -> None:
    engine = flow_engine(page.orders)
    handle = engine.trigger(page.orders, "order-1", page.Order(total=99.0))
    event = ConnectorEvent(
        event_id="e-1", foreign_id="order-1", body=b'{"driver": "Bob"}', created_at=datetime(2030, 1, 7, tzinfo=UTC)
    )
    page.courier_events.add(event)
    engine.advance(timedelta(seconds=5))

    assert (handle.run().status, handle.run().object.driver) == (page.OrderStatus.SHIPPED, "Bob")


def test_the_schedule_starts_a_run_each_working_day(page: Any, flow_engine: Callable[..., Any]) -> None:
    engine = flow_engine(page.orders)
    engine.advance(timedelta(days=7))

    started = engine.runs(page.orders, foreign_ids=["daily"], limit=100).runs
    assert len(started) >= 1
    assert {run.foreign_id for run in started} == {"daily"}


def test_every_outcome_of_a_callback_is_in_the_table() -> None:
    told = dict(re.findall(r"^\| `([a-z ]+)` \| (yes|no) \|", PAGE, re.MULTILINE))

    assert told == {outcome.value: "yes" if CallbackResult(outcome=outcome).accepted else "no" for outcome in CallbackOutcome}


def test_every_hook_is_named() -> None:
    assert {f"on_{event.value}" for event in HookEvent} <= set(re.findall(r"`(on_\w+)`", PAGE))
