"""Taking back what has not begun, while step threads take from the same queue."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import Any

import pytest

from flowdsl.clock import SystemClock
from flowdsl.engine.committer import Committer
from flowdsl.engine.metrics import Metrics
from flowdsl.engine.thread_executor import ThreadExecutor
from flowdsl.engine.work import Work
from flowdsl.memory.record_store import MemoryRecordStore


class Nobody:
    """A body that is never reached."""

    def run(self, work: Work) -> None:
        raise AssertionError("nothing was offered")

    async def run_async(self, work: Work) -> None:
        raise AssertionError("nothing was offered")


class Contended(SimpleQueue[Any]):
    """A queue of which a step thread takes the last entry right after somebody looked at it."""

    def empty(self) -> bool:
        was = super().empty()
        if not was:
            super().get()
        return was


def test_a_stop_never_waits_for_work_that_a_step_thread_took_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowdsl.engine.thread_executor.SimpleQueue", Contended)
    clock = SystemClock()
    executor = ThreadExecutor(Nobody(), clock, Committer(MemoryRecordStore(clock), clock, Metrics()), "test")
    executor._ready.put(None)
    answered: list[Any] = []

    taker = threading.Thread(target=lambda: answered.append(executor.withdraw()), daemon=True)
    taker.start()
    taker.join(10)
    hung = taker.is_alive()
    executor._ready.put(None)  # lets a taker that waits for ever go, so that this test leaves no thread
    taker.join(10)

    assert not hung
    assert answered == [[]]
