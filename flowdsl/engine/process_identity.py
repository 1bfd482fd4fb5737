"""Which process this is, and whether another of this machine is certainly gone. Linux only; elsewhere nothing is certain."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

STARTTIME_FIELD = 21
"""Index of `starttime` in /proc/PID/stat, counted from 0 (proc(5) counts from 1)."""


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process: its number, when it started, and where that number means something."""

    host: str
    """The machine's name, the boot id and the process-id namespace, with slashes between."""
    pid: int
    started: str
    certain: bool
    """Whether boot and namespace could be read, so that processes of the same host can be looked for."""

    @classmethod
    def of_this_process(cls) -> ProcessIdentity:
        pid, place = os.getpid(), _place()
        name = platform.node().replace("/", "-")
        return cls(f"{name}/{place or '/'}", pid, _started(pid) or "", certain=place is not None)

    def knows_dead(self, host: str, pid: int, started: str) -> bool:
        """True only if that process ran where this one runs, and has ended. A process number that was given away again is told
        by its start time."""
        if not self.certain or host != self.host:
            return False
        now_started = _started(pid)
        return now_started is None or now_started != started


def _place() -> str | None:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None


def _started(pid: int) -> str | None:
    """The start time of a live process; None when there is none. A zombie has ended: it only waits for its parent."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat[stat.rindex(")") + 2 :].split()  # the name before may hold spaces and brackets; fields[0] is the state
    return None if fields[0] == "Z" else fields[STARTTIME_FIELD - 2]
