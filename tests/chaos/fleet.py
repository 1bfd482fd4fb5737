"""The worker processes, and what is done to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.flow import LEDGER
from tests.chaos.worker import JUMP

ROOT = Path(__file__).parents[2]


@dataclass
class Freeze:
    """A process was held from `since` until `until` (monotonic seconds)."""

    pid: int
    since: float
    until: float = float("inf")


@dataclass
class Fleet:
    """Workers, each replaced when it has ended. The clock of the first may jump."""

    store: str
    streamer: str
    folder: Path
    size: int
    settings: dict[str, str] = field(default_factory=dict)
    """Environment variables of the workers."""
    freezes: list[Freeze] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    """Workers that ended by themselves, or not cleanly."""
    started: int = 0
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._jump = self.folder / "clock"
        self._jump.write_text("0")
        self.workers = [self._start(number) for number in range(self.size)]

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        environment = {**os.environ, LEDGER: str(self.folder / "ledger"), **self.settings}
        if number == 0:
            environment[JUMP] = str(self._jump)
        self.started += 1
        with (self.folder / f"worker-{self.started}.log").open("wb") as log:
            command = [sys.executable, "-m", "tests.chaos.worker", self.store, self.streamer]
            return subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def log(self) -> list[str]:
        """The lines of all workers."""
        lines: list[str] = []
        for path in sorted(self.folder.glob("worker-*.log")):
            lines += path.read_text("utf-8", "replace").splitlines()
        return lines

    def await_ready(self, seconds: float = 60) -> bool:
        """Until all that live have started to work. False: the time is over."""
        end = time.monotonic() + seconds
        while len([line for line in self.log() if line == "ready"]) < self.size:
            if time.monotonic() > end:
                return False
            time.sleep(0.1)
        return True

    def kill(self, number: int) -> None:
        """With the signal that nobody can catch; another takes its place."""
        self.workers[number].kill()
        self.workers[number].wait()
        self.workers[number] = self._start(number)

    def drain(self, number: int) -> None:
        """Ask one to end; another takes its place."""
        self._await_end(self.workers[number])
        self.workers[number] = self._start(number)

    def freeze(self, number: int) -> Freeze:
        """Hold one where it is. Out: to be handed to `thaw`."""
        worker = self.workers[number]
        self.freezes.append(Freeze(worker.pid, time.monotonic()))
        worker.send_signal(signal.SIGSTOP)
        return self.freezes[-1]

    def thaw(self, freeze: Freeze) -> None:
        freeze.until = time.monotonic()
        for worker in self.workers:
            if worker.pid == freeze.pid:
                worker.send_signal(signal.SIGCONT)

    def jump(self, seconds: float) -> None:
        """Set the wall clock of the first worker forward or back, against the machine's."""
        new = self._jump.with_suffix(".new")
        new.write_text(f"{seconds}")
        new.replace(self._jump)

    def mend(self) -> None:
        """Replace those that ended by themselves, and note it: nothing that is done to them makes one end."""
        for number, worker in enumerate(self.workers):
            if worker.poll() is not None:
                self.troubles.append(f"worker {worker.pid} ended by itself with {worker.returncode}")
                self.workers[number] = self._start(number)

    def end(self) -> None:
        """Drain all."""
        for worker in self.workers:
            worker.send_signal(signal.SIGCONT)
            worker.terminate()
        for worker in self.workers:
            self._await_end(worker)

    def kill_all(self) -> None:
        for worker in self.workers:
            worker.kill()
            worker.wait()

    def _await_end(self, worker: subprocess.Popen[bytes]) -> None:
        worker.terminate()
        try:
            code = worker.wait(timeout=60)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
            self.troubles.append(f"worker {worker.pid} did not end within 60 s of SIGTERM")
            return
        if code not in (0, -signal.SIGTERM):  # the signal's own: it had not begun
            self.troubles.append(f"worker {worker.pid} ended with {code} on SIGTERM")
