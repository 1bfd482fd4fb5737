"""flowdsl run: a worker in the foreground."""

from __future__ import annotations

import logging
import os
import queue
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console
from rich.status import Status
from rich.text import Text

from flowdsl.cli.cleaning import clean, clean_lines, masked
from flowdsl.cli.console import err, fail, note
from flowdsl.cli.exit_code import ExitCode
from flowdsl.cli.problem import UsageProblem
from flowdsl.cli.target import load_engine
from flowdsl.engine.engine import Engine
from flowdsl.engine.metrics import ProcessState

LOOK = 1.0
"""Seconds between two looks at the engine's health."""
LOG_LEVELS = ("debug", "info", "warning", "error")
ENDINGS = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}

log = logging.getLogger("flowdsl.cli")


class Signals:
    """SIGTERM and SIGINT as a queue. The second one ends the process at once: what was running is given to others when this
    instance's heartbeat lapses."""

    def __init__(self) -> None:
        # A handler interrupts the main thread anywhere; of all queues and events only this one's put may be interrupted itself.
        self._received: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._count = 0

    def wait(self, seconds: float) -> bool:
        """Whether a signal came within this time."""
        try:
            self._received.get(timeout=seconds)
        except queue.Empty:
            return False
        return True

    @contextmanager
    def handled(self) -> Generator[None]:
        before = {number: signal.signal(number, self._on) for number in ENDINGS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on(self, number: int, _: FrameType | None) -> None:
        self._count += 1
        if self._count > 1:
            os._exit(ENDINGS[signal.Signals(number)])
        self._received.put(number)


class ConsoleHandler(logging.Handler):
    """Log lines above the status line."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._console.print(Text(clean_lines(masked(self.format(record)))), soft_wrap=True)
        except Exception:
            self.handleError(record)


def run(
    target: Annotated[str, typer.Argument(metavar="MODULE:ENGINE", help="An engine, or a function returning one.")],
    drain: Annotated[
        float | None,
        typer.Option("--drain", metavar="SECONDS", min=0, help="How long running steps may finish. Default: the engine's."),
    ] = None,
    metrics_port: Annotated[
        int | None, typer.Option("--metrics-port", min=0, max=65535, help="Serve Prometheus metrics at this port. 0: a free one.")
    ] = None,
    metrics_host: Annotated[str, typer.Option("--metrics-host", help="The address to serve metrics at.")] = "127.0.0.1",
    log_level: Annotated[
        str, typer.Option("--log-level", help="debug, info, warning or error; unless the module sets up logging itself.")
    ] = "info",
) -> None:
    """Work on runs until SIGTERM or Ctrl-C, then drain: take nothing new, let running steps finish, give the rest back.

    A second signal ends the process at once. The current folder is first on Python's path.
    """
    if log_level not in LOG_LEVELS:
        raise UsageProblem(f"--log-level {log_level!r} is unknown.", remedy=f"One of {', '.join(LOG_LEVELS)}.")
    engine = load_engine(target)
    console = err()
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(ConsoleHandler(console))
        root.setLevel(log_level.upper())
    signals = Signals()
    with signals.handled(), _metrics(engine, metrics_host, metrics_port):
        engine.start()
        note(f"{target} works on {', '.join(flow.name for flow in engine.workflows)}. Ctrl-C or SIGTERM drains.")
        unhealthy = _work(engine, signals, console)
        note("Draining: running steps finish, the rest is given back. A second signal ends at once.")
        clean_stop = engine.stop(None if drain is None else timedelta(seconds=drain))
    note(f"Stopped: {_progress(engine)}.")
    code = ExitCode.OK
    if not clean_stop:
        fail("some steps were still running when the drain time was over; others take them over when their claims lapse.")
        code = ExitCode.UNCLEAN
    if unhealthy is not None:
        fail(f"{unhealthy}; this worker should be replaced.")
        code = ExitCode.UNHEALTHY
    if not clean_stop:
        sys.stdout.flush()
        os._exit(code)  # the threads of those steps may never return
    if code is not ExitCode.OK:
        raise typer.Exit(code)


def _work(engine: Engine, signals: Signals, console: Console) -> str | None:
    """Until a signal comes or the engine is unhealthy; then why."""
    with Status(Text(_line(engine)), console=console) if console.is_terminal else _Silent() as status:
        while not signals.wait(LOOK):
            if engine.unhealthy is not None:
                return engine.unhealthy
            status.update(Text(_line(engine)))
    return None


class _Silent:
    """Stands where a status line would, when nobody looks at a terminal."""

    def __enter__(self) -> _Silent:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing was drawn."""

    def update(self, _: Text) -> None:
        """Nothing is drawn."""


def _line(engine: Engine) -> str:
    running = sum(1 for state in engine.states().values() if state is ProcessState.RUNNING)
    return clean(f"{', '.join(flow.name for flow in engine.workflows)}: {running} processes, {_progress(engine)}")


def _progress(engine: Engine) -> str:
    """What this worker did since it started."""
    ends: dict[str, int] = {"Completed": 0, "Cancelled": 0, "Paused": 0}
    for metric in engine.metrics.run_states.collect():
        for sample in metric.samples:
            state = sample.labels["current_run_state"]
            if state in ends:
                ends[state] += int(sample.value)
    errors = sum(int(sample.value) for metric in engine.metrics.errors.collect() for sample in metric.samples)
    return ", ".join(
        [*(f"{count} {name.lower()}" for name, count in ends.items()), f"{errors} error{'' if errors == 1 else 's'}"]
    )


@contextmanager
def _metrics(engine: Engine, host: str, port: int | None) -> Generator[None]:
    """Serve the engine's metrics while the block runs; nothing is opened without a port."""
    if port is None:
        yield
        return
    from prometheus_client import start_http_server

    try:
        server, thread = start_http_server(port, addr=host, registry=engine.metrics.registry)
    except OSError as error:
        raise UsageProblem(
            f"metrics cannot be served at {host}:{port}: {error.strerror}.", remedy="Choose another --metrics-port."
        ) from error
    note(f"Metrics at http://{host}:{server.server_port}/metrics")
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
