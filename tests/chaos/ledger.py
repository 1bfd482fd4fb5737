"""Which bodies were called, when, by which process: written by the workers, past every store."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Call:
    """A body was called. `at` is on the machine's monotonic clock, in seconds, the same in every process."""

    at: float
    pid: int
    run_id: str
    name: str
    task_version: int
    key: str


class Ledger:
    """A file that any number of processes append lines to. In: its path; None: nothing is written."""

    def __init__(self, path: str | Path | None) -> None:
        self._path = path
        self._file: int | None = None

    def note(self, run_id: str, name: str, task_version: int, key: str) -> None:
        if self._path is None:
            return
        if self._file is None:
            self._file = os.open(self._path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
        line = json.dumps([time.monotonic(), os.getpid(), run_id, name, task_version, key])
        os.write(self._file, f"{line}\n".encode())  # one write: whole, or not at all

    def calls(self) -> Iterator[Call]:
        if self._path is None or not Path(self._path).exists():
            return
        with open(self._path, encoding="utf-8") as lines:
            for line in lines:
                yield Call(*json.loads(line))
