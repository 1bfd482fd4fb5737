"""The supervisor beside what the workers themselves do: processes that cannot be had, answers that come late, early ends."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from flowdsl.cli import supervisor
from flowdsl.cli.leash import ASK, Report, leashed
from flowdsl.cli.signals import Signals
from flowdsl.cli.supervisor import QUICK_ANSWER, Child, Link, Supervisor
from flowdsl.cli.telemetry import Health
from flowdsl.clock import SystemClock

WORKER = """
import socket, sys, time
link = socket.socket(fileno=int(sys.argv[-1]))
link.sendall(b"ready\\n")
time.sleep(600)
"""
PATIENCE = 30.0


@pytest.fixture(autouse=True)
def small_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "COMMAND", WORKER)
    monkeypatch.setattr(supervisor, "FIRST_PAUSE", 0.1)
    monkeypatch.setattr(sys, "warnoptions", [])


class Group:
    """A supervisor at work in a thread."""

    def __init__(self, count: int) -> None:
        self.supervisor = Supervisor(count, [])
        self.signals = Signals()
        self.code: int | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self.code = self.supervisor.run(self.signals, lambda: None)

    @property
    def children(self) -> list[Child]:
        return self.supervisor._children

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> int | None:
        self.signals.raise_one()
        self._thread.join(PATIENCE)
        return self.code


@pytest.fixture
def group() -> Iterator[Group]:
    group = Group(2)
    until(lambda: all(child.ready for child in group.children))
    yield group
    group.stop()


def until(found: object) -> None:
    """Other processes cannot signal us."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found():  # type: ignore[operator]
            return
        time.sleep(0.01)
    raise AssertionError("it never came")


def test_a_worker_that_cannot_be_started_again_costs_the_others_nothing(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = group.children
    assert first.process is not None
    assert second.process is not None
    steady = second.process.pid
    python = sys.executable
    monkeypatch.setattr(sys, "executable", "/nowhere/python")  # as while an environment is being made anew
    os.kill(first.process.pid, signal.SIGKILL)
    until(lambda: first.process is None and first.pause > 0.3)

    assert group.alive
    assert second.process.poll() is None
    monkeypatch.setattr(sys, "executable", python)
    until(lambda: first.ready)
    assert second.process.pid == steady


def test_workers_that_sigterm_meets_before_they_listen_for_it_ended_cleanly(group: Group) -> None:
    assert group.stop() == 0


def report(detail: str) -> Report:
    return Report(Health(alive=True, ready=True, detail=detail), "")


def test_an_answer_that_came_too_late_is_not_taken_for_that_to_the_next_question() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        child = Child(1, [], SystemClock())
        child._link, child.ready = Link(ours), True
        assert child.report(0.05) is None, "the worker is held up"
        assert child.report(0.05) is None
        late = [msgspec.json.encode(report(f"answer {number}")) + b"\n" for number in (1, 2)]
        theirs.sendall(late[0] + late[1][:10])
        assert child.report(0.05) is None
        theirs.sendall(late[1][10:] + msgspec.json.encode(report("answer 3")) + b"\n")
        theirs.sendall(msgspec.json.encode(report("answer 4")) + b"\n")

        assert child.report(PATIENCE) == report("answer 4")
        assert theirs.recv(100) == 4 * ASK
        child.let_go()


def test_workers_that_do_not_answer_hold_up_nobody_who_asks_for_health(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "ANSWER", PATIENCE)  # neither of them answers anything
    metrics = threading.Thread(target=lambda: list(group.supervisor.collect()), daemon=True)
    metrics.start()
    until(lambda: all(child._asking.locked() for child in group.children))
    began = time.monotonic()

    assert group.supervisor.alive().alive
    assert time.monotonic() - began < QUICK_ANSWER
    assert group.supervisor.health().detail == "0 of 2 workers are ready"

    assert time.monotonic() - began < 10 * QUICK_ANSWER < PATIENCE
    group.stop()
    metrics.join(PATIENCE)


def test_a_worker_whose_parent_went_while_it_started_is_told() -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    lost = threading.Event()
    with leashed(theirs.detach(), CollectorRegistry(), lambda: report("").health, lost.set):
        assert lost.wait(PATIENCE)
