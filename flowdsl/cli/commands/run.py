"""flowdsl run: a worker in the foreground."""

from __future__ import annotations

import gc
import logging
import os
import sys
from datetime import timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.status import Status
from rich.text import Text

from flowdsl.cli.cleaning import clean, clean_lines, masked
from flowdsl.cli.console import err, fail, note
from flowdsl.cli.exit_code import ExitCode
from flowdsl.cli.leash import leashed
from flowdsl.cli.problem import UsageProblem
from flowdsl.cli.signals import Signals
from flowdsl.cli.supervisor import Supervisor
from flowdsl.cli.target import load_engine
from flowdsl.cli.telemetry import Health, serving
from flowdsl.engine.engine import Engine
from flowdsl.engine.metrics import ProcessState

LOOK = 1.0
"""Seconds between two looks at the engine's health."""
LOCAL = "127.0.0.1"
DRAINING = "Draining: running steps finish, the rest is given back. A second signal ends at once."
LOG_LEVELS = ("debug", "info", "warning", "error")

log = logging.getLogger("flowdsl.cli")


class ConsoleHandler(logging.Handler):
    """Log lines above the status line."""

    def __init__(self, console: Console, *, one_of_several: bool) -> None:
        super().__init__()
        self._console = console
        who = "[%(process)d] " if one_of_several else ""
        self.setFormatter(logging.Formatter(f"%(asctime)s %(levelname)-7s {who}%(name)s: %(message)s"))

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
        int | None,
        typer.Option("--metrics-port", min=0, max=65535, help="Serve /metrics, /livez and /readyz at this port. 0: a free one."),
    ] = None,
    metrics_host: Annotated[str, typer.Option("--metrics-host", help="The address to serve them at.")] = LOCAL,
    processes: Annotated[
        int,
        typer.Option("--processes", metavar="N", min=1, help="Worker processes; of several, a parent restarts those that die."),
    ] = 1,
    log_level: Annotated[
        str, typer.Option("--log-level", help="debug, info, warning or error; unless the module sets up logging itself.")
    ] = "info",
    leash: Annotated[int | None, typer.Option("--leash", hidden=True, help="The descriptor of the supervisor's socket.")] = None,
) -> None:
    """Work on runs until SIGTERM or Ctrl-C, then drain: take nothing new, let running steps finish, give the rest back.

    A second signal ends the process at once. The current folder is first on Python's path.
    """
    if log_level not in LOG_LEVELS:
        raise UsageProblem(f"--log-level {log_level!r} is unknown.", remedy=f"One of {', '.join(LOG_LEVELS)}.")
    if metrics_port is None and metrics_host != LOCAL:
        raise UsageProblem("--metrics-host serves nothing by itself.", remedy="Give --metrics-port as well.")
    if drain is not None and not drain < timedelta.max.total_seconds():
        raise UsageProblem(f"--drain {drain} is no number of seconds.", remedy="Write e.g. 30; left out, the engine's is taken.")
    console = err()
    if processes > 1:
        _log_to(console, log_level)
        _supervise(target, processes, drain, metrics_host, metrics_port, log_level)
        return
    engine = load_engine(target)
    alone = leash is None  # else the parent speaks, and one status line beside another would garble both
    _log_to(console, log_level, one_of_several=not alone)
    signals = Signals()
    draining = False

    def health() -> Health:
        sick = engine.unhealthy
        return Health(alive=sick is None, ready=sick is None and not draining and bool(engine.states()), detail=sick or "")

    def orphaned() -> None:
        log.warning("the parent of this worker is gone: it drains and ends")
        signals.raise_one()

    with signals.handled(), serving(metrics_host, metrics_port, engine.metrics.registry, health):
        engine.start()
        gc.freeze()  # what was imported stays: a full collection, a tenth of a second for all threads, need not look at it
        if alone:
            note(f"{target} works on {', '.join(flow.name for flow in engine.workflows)}. Ctrl-C or SIGTERM drains.")
        with leashed(leash, engine.metrics.registry, health, orphaned):
            unhealthy = _work(engine, signals, console if alone and console.is_terminal else None)
        draining = True
        if alone:
            note(DRAINING)
        clean_stop = engine.stop(None if drain is None else timedelta(seconds=drain))
    note(f"{'Stopped' if alone else f'Worker {os.getpid()} stopped'}: {_progress(engine)}.")
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


def _log_to(console: Console, level: str, *, one_of_several: bool = False) -> None:
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(ConsoleHandler(console, one_of_several=one_of_several))
        root.setLevel(level.upper())
        if level != "debug":
            logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of every plugin


def _supervise(target: str, count: int, drain: float | None, host: str, port: int | None, log_level: str) -> None:
    arguments = ["run", target, "--log-level", log_level, *([] if drain is None else ["--drain", str(drain)])]
    supervisor = Supervisor(count, arguments)
    signals = Signals(supervisor.kill)
    with signals.handled(), serving(host, port, supervisor.registry, supervisor.health, supervisor.alive):
        note(f"{count} workers for {target}. Ctrl-C or SIGTERM drains them.")
        code = supervisor.run(signals, lambda: note(DRAINING))
    note(f"All {count} workers have ended.")
    if code:
        raise typer.Exit(code)


def _work(engine: Engine, signals: Signals, terminal: Console | None) -> str | None:
    """Until a signal comes or the engine is unhealthy; then why."""
    with Status(Text(_line(engine)), console=terminal) if terminal is not None else _Silent() as status:
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
