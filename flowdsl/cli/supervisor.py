"""The supervisor: one parent that starts worker processes, restarts those that die, and speaks for all of them."""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from flowdsl.cli.exit_code import ExitCode
from flowdsl.cli.leash import ASK, READY, Report
from flowdsl.cli.signals import Signals
from flowdsl.cli.telemetry import Health
from flowdsl.clock import Clock, SystemClock

log = logging.getLogger("flowdsl.supervisor")
LOOK = 0.2
"""Seconds between two looks at the workers; their deaths are noticed at the next."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
STEADY = 60.0
"""A worker that lived so long starts over with the shortest pause."""
ANSWER, QUICK_ANSWER = 5.0, 0.5
"""Seconds that a worker has to answer: when metrics are asked for, and when its health is, for which those who ask wait a second.
One that does not answer is busy, with a function that lets no other thread run say."""
SHARED = "workflow_queue_"
"""Series that every worker reads from the one store: shown once."""
COMMAND = "from flowdsl.cli.main import main; main()"


class Link:
    """The supervisor's end of a worker's leash."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._unread = b""
        self._owed = 0
        """Questions that were not answered in time: the answers may come still."""

    def line(self) -> bytes:
        """Bytes up to the end of a line; what comes behind it, or before an error, is kept for the next. Raises ConnectionError
        when the other end is gone."""
        while b"\n" not in self._unread:
            part = self._end.recv(65536)
            if not part:
                raise ConnectionError("the other end is gone")
            self._unread += part
        line, _, self._unread = self._unread.partition(b"\n")
        return line + b"\n"

    def ask(self, seconds: float) -> bytes:
        """The answer to a question. Raises OSError, TimeoutError among them."""
        self._end.settimeout(seconds)
        self._end.sendall(ASK)
        self._owed += 1
        while True:
            line = self.line()
            self._owed -= 1
            if not self._owed:  # else it answers an earlier question, for which nobody waits any more
                return line

    def close(self) -> None:
        self._end.close()


class Child:
    """One place among the workers, and the process that fills it now."""

    def __init__(self, number: int, arguments: Sequence[str], clock: Clock) -> None:
        self._clock = clock
        self.number = number
        self.ready = False
        self.pause = FIRST_PAUSE
        self.process: subprocess.Popen[bytes] | None = None
        self.not_before = 0.0
        self._arguments = list(arguments)
        self._link: Link | None = None
        self._asking = threading.Lock()
        self._started = 0.0

    def start(self) -> None:
        """Raises OSError or RuntimeError when there is no process, thread or file to be had; nothing is left behind then."""
        ours, theirs = socket.socketpair()
        with theirs:
            link = self._link = Link(ours)
            self._started, self.ready = self._clock.monotonic(), False
            try:
                # First, for it ends by itself when no process comes to hold the other end.
                threading.Thread(target=self._await_ready, args=(link,), name="flowdsl-ready", daemon=True).start()
                # A session of its own: Ctrl-C in a terminal reaches the supervisor alone, which then tells each worker once.
                python = [sys.executable, *(f"-W{option}" for option in sys.warnoptions), "-c", COMMAND]
                self.process = subprocess.Popen(
                    [*python, *self._arguments, "--leash", str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )
            except BaseException:
                self.let_go()
                raise

    def ended(self) -> int | None:
        """The exit code of a process that has just ended; its place is then to be filled at `not_before`."""
        if self.process is None or (code := self.process.poll()) is None:
            return None
        self.ready, self.process = False, None
        self.let_go()
        self.wait_longer(self._clock.monotonic() - self._started)
        return code

    def wait_longer(self, lived: float = 0.0) -> None:
        """Fill the place after a pause: the longer, the oftener a process has ended that lived for less than STEADY seconds."""
        self.pause = FIRST_PAUSE if lived >= STEADY else min(self.pause * 2, LONGEST_PAUSE)
        self.not_before = self._clock.monotonic() + self.pause / 2

    def let_go(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def report(self, seconds: float) -> Report | None:
        """What the worker says of itself; None: it does not answer in this time."""
        link = self._link
        if link is None or not self.ready or not self._asking.acquire(timeout=seconds):
            return None
        try:
            return msgspec.json.decode(link.ask(seconds), type=Report)
        except (OSError, msgspec.DecodeError):
            return None
        finally:
            self._asking.release()

    def _await_ready(self, link: Link) -> None:
        with contextlib.suppress(OSError):
            if link.line() == READY and link is self._link:
                self.ready = True


class Supervisor(Collector):
    """In: how many workers, and the arguments of `flowdsl` that start one."""

    def __init__(self, count: int, arguments: Sequence[str]) -> None:
        self._clock = SystemClock()
        self._children = [Child(number, arguments, self._clock) for number in range(1, count + 1)]
        self._draining = False
        self._restarts = 0
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def run(self, signals: Signals, draining: Callable[[], None]) -> ExitCode | int:
        """Until a signal comes; then tell so (`draining`) and drain all. Out: the worst exit code. Workers that end before any
        was ever ready are not started again: what is wrong with them is in their command."""
        try:
            for child in self._children:
                child.start()
            proven = False
            while not signals.wait(LOOK):
                proven = proven or any(child.ready for child in self._children)
                for child in self._children:
                    code = child.ended()
                    if code is not None and not proven:
                        self._stop_all()
                        return _shell_code(code)
                    if code is not None:
                        self._restarts += 1
                        log.warning("worker %d ended with %s and is started again", child.number, _meaning(code))
                    if child.process is None and self._clock.monotonic() >= child.not_before:
                        self._start_again(child)
            draining()
            return self._stop_all()
        finally:
            self.kill()
            for child in self._children:
                if child.process is not None:
                    child.process.wait()
                child.let_go()

    def _start_again(self, child: Child) -> None:
        try:
            child.start()
        except (OSError, RuntimeError) as error:  # no process or thread to be had at this moment: the other workers go on
            log.warning("worker %d cannot be started, it is tried again: %s", child.number, error)
            child.wait_longer()

    def _stop_all(self) -> int:
        self._draining = True
        running = [child.process for child in self._children if child.process is not None]
        for process in running:
            process.terminate()
        codes = [process.wait() for process in running]
        # One that dies of SIGTERM had no handler yet: it had taken nothing.
        return max((_shell_code(code) for code in codes if code != -signal.SIGTERM), default=0)

    def kill(self) -> None:
        """End what is still there at once, without waiting for it: this is called by a handler of signals as well, which may have
        interrupted a wait for the same process."""
        for child in self._children:
            if child.process is not None:
                child.process.kill()

    def alive(self) -> Health:
        """It is, if it can say so: it replaces sick workers itself, and asks none of them for this."""
        return Health(alive=True, ready=not self._draining and any(child.ready for child in self._children))

    def health(self) -> Health:
        """Ready while a worker takes work."""
        ready = sum(report.health.ready for report in self._reports(QUICK_ANSWER).values())
        return Health(
            alive=True, ready=ready > 0 and not self._draining, detail=f"{ready} of {len(self._children)} workers are ready"
        )

    def _reports(self, seconds: float) -> dict[int, Report]:
        """Of all workers, asked side by side: one that does not answer in this time is not waited for any longer."""
        with ThreadPoolExecutor(len(self._children), "flowdsl-ask") as threads:
            found = list(threads.map(lambda child: child.report(seconds), self._children))
        return {child.number: report for child, report in zip(self._children, found, strict=True) if report is not None}

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        """The workers' series, each with the label `worker`, and the supervisor's own."""
        families: dict[str, Metric] = {}
        reports = self._reports(ANSWER)
        for number, report in reports.items():
            for family in text_string_to_metric_families(report.metrics):
                shared = family.name.startswith(SHARED)
                if shared and family.name in families:
                    continue
                merged = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    labels = sample.labels if shared else {"worker": str(number), **sample.labels}
                    merged.add_sample(sample.name, labels, sample.value)
        workers = Metric("workflow_workers", "Worker processes that are ready", "gauge")
        workers.add_sample("workflow_workers", {}, len(reports))
        restarts = Metric("workflow_worker_restarts", "Worker processes that ended and were started again", "gauge")
        restarts.add_sample("workflow_worker_restarts", {}, self._restarts)
        return [*families.values(), workers, restarts]


def _shell_code(code: int) -> int:
    """As a shell tells of a process that a signal ended."""
    return 128 - code if code < 0 else code


def _meaning(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
