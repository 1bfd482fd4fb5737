"""`flowdsl run` as a process, for the tests that talk to it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

FLOWDSL = [sys.executable, "-W", "error", "-c", "from flowdsl.cli.main import main; main()"]

SHOP = """
import sys
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from threading import Event

from flowdsl import Engine, Run, Workflow


class Status(StrEnum):
    NEW = "new"
    PAID = "paid"
    SENT = "sent"


@dataclass
class Order:
    wait_for: str


orders = Workflow("orders", object_type=Order, status_type=Status, defaults={"concurrency": 1})


@orders.step(from_=Status.NEW, to=Status.PAID)
def charge(run: Run[Order, Status]) -> Status:
    print(f"charging {run.foreign_id}", flush=True)
    if run.object.wait_for == "input":
        sys.stdin.readline()
    if run.object.wait_for == "doomsday":
        Event().wait()
    return Status.PAID


@orders.step(from_=Status.PAID, to=Status.SENT)
def send(run: Run[Order, Status]) -> Status:
    print(f"sending {run.foreign_id}", flush=True)
    return Status.SENT


stuck = Workflow("stuck", object_type=Order, status_type=Status, retired=[Status.SENT])


@stuck.step(from_=Status.NEW, to=Status.PAID, concurrency=1, time_limit=timedelta(milliseconds=50))
def hang(run: Run[Order, Status]) -> Status:
    Event().wait()
    return Status.PAID


def engine() -> Engine:
    quick = {"beat": timedelta(milliseconds=100), "lapse": timedelta(seconds=10), "drain": timedelta(milliseconds=50)}
    return Engine.from_url(orders, stuck, store="sqlite:///shop.db", **quick)
"""


class Worker:
    """A running `flowdsl run`."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            [*FLOWDSL, "run", "shop:engine", *options],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said = ""
        """What it wrote to standard error, as far as it was read."""

    def says(self, pattern: str) -> str:
        """Read its standard error up to the line that matches, and return that."""
        return self._line(self._stream(self.process.stderr), pattern)

    def prints(self, pattern: str) -> str:
        """The same for standard output."""
        return self._line(self._stream(self.process.stdout), pattern)

    def types(self, text: str) -> None:
        stream = self._stream(self.process.stdin)
        stream.write(text)
        stream.flush()

    def ends(self) -> int:
        """Its exit code."""
        _, errors = self.process.communicate(timeout=60)
        self.said += errors
        return self.process.returncode

    def _line(self, stream: IO[str], pattern: str) -> str:
        for line in stream:
            if stream is self.process.stderr:
                self.said += line
            if re.search(pattern, line):
                return line
        raise AssertionError(f"it ended without saying {pattern!r}: {self.said}")

    def _stream(self, stream: IO[str] | None) -> IO[str]:
        assert stream is not None
        return stream


class Workers:
    """Starts workers in a folder, and sees to it that none is left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[Worker] = []

    def start(self, *options: str) -> Worker:
        self.started.append(Worker(self.folder, *options))
        return self.started[-1]

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*FLOWDSL, *arguments], cwd=self.folder, capture_output=True, text=True, check=False, timeout=60)

    def trigger(self, workflow: str, foreign_id: str, wait_for: str) -> None:
        done = self.cli("trigger", "shop:engine", workflow, foreign_id, "-o", json.dumps({"wait_for": wait_for}))
        assert done.returncode == 0, done.stderr

    def show(self, run: str) -> dict[str, Any]:
        done = self.cli("show", run, "--json", "--store", "sqlite:///shop.db")
        assert done.returncode == 0, done.stderr
        shown: dict[str, Any] = json.loads(done.stdout)
        return shown


@contextmanager
def workers_in(folder: Path) -> Iterator[Workers]:
    """Workers of a shop in this folder; none is left at the end."""
    (folder / "shop.py").write_text(SHOP, "utf-8")
    found = Workers(folder)
    yield found
    for worker in found.started:
        if worker.process.poll() is None:
            worker.process.kill()
            worker.process.communicate()
        for stream in (worker.process.stdin, worker.process.stdout, worker.process.stderr):
            if stream is not None and not stream.closed:
                stream.close()
