"""The leash: how a supervised worker answers its supervisor, over a socket pair made before it started."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Generator

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from flowdsl.cli.telemetry import Health

READY, ASK = b"ready\n", b"?\n"
"""What the worker says once it takes work, and what the supervisor asks; each answer is one line of JSON."""


class Report(msgspec.Struct, frozen=True):
    """A worker's answer."""

    health: Health
    metrics: str
    """In Prometheus' text format."""


@contextlib.contextmanager
def leashed(
    fd: int | None, registry: CollectorRegistry, health: Callable[[], Health], lost: Callable[[], None]
) -> Generator[None]:
    """Say that this worker is ready and answer while the block runs. `lost` is called when the supervisor is gone. Without a
    descriptor nothing happens."""
    if fd is None:
        yield
        return
    link = socket.socket(fileno=fd)
    ending = threading.Event()

    def answer() -> None:
        # To fail while answering is the same as the end of the questions: the supervisor went away.
        with link.makefile("rb") as questions, contextlib.suppress(OSError):
            for _ in questions:
                report = Report(health(), generate_latest(registry).decode())
                link.sendall(msgspec.json.encode(report) + b"\n")
        if not ending.is_set():
            lost()

    thread = threading.Thread(target=answer, name="flowdsl-leash", daemon=True)
    thread.start()
    with contextlib.suppress(OSError):  # the supervisor has gone already: `lost` tells of it
        link.sendall(READY)
    try:
        yield
    finally:
        ending.set()
        with contextlib.suppress(OSError):
            link.shutdown(socket.SHUT_RDWR)
        thread.join(timeout=5)
        link.close()
