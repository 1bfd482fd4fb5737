"""Ports for servers of a test's own, which nobody else on this machine gets meanwhile."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path

PORTS: Sequence[int] = range(20_000, 30_000)
"""Below those that systems give to outgoing connections: one that is free now stays so until its server listens."""


_held: dict[int, int] = {}
"""The locks of this process: their files, by port. They are let go when it ends."""


def free_port() -> int:
    """A port of 127.0.0.1 that no server listens on, and that no test of this run or another gets while this process lives.

    Asking the kernel for any port does not do: it gives the same one twice, as long as nobody listens there.
    """
    folder = Path(tempfile.gettempdir(), f"flowdsl-ports-{os.getuid()}")
    folder.mkdir(exist_ok=True)
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        if port in _held:
            continue
        lock = os.open(folder / str(port), os.O_CREAT | os.O_RDWR, 0o600)
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            socket.create_server(("127.0.0.1", port)).close()
            _held[port] = lock
            return port
        os.close(lock)
    raise OSError(f"no port of {PORTS[0]} to {PORTS[-1]} is free")
