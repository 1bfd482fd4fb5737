"""The store that a simulated fleet shares."""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path

from flowdsl.engine.discovery import open_store
from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.ports.record_store import RecordStore
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.simulation.plan import StoreKind

FAST = Path("/dev/shm")
"""Where files live in memory, on machines that have it: what is simulated is not the disk."""


class Stores:
    """Opens handles on one store. In: its kind, the world's clock."""

    def __init__(self, kind: StoreKind, clock: ManualClock) -> None:
        self._clock = clock
        self._opened: list[RecordStore] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._shared: MemoryRecordStore | None = None
        if kind is StoreKind.MEMORY:
            self._shared = MemoryRecordStore(clock)
        else:
            self._folder = tempfile.TemporaryDirectory(prefix="flowdsl-simulation-", dir=FAST if FAST.is_dir() else None)
            shutil.copy(_template(), self._file)

    @property
    def listens(self) -> bool:
        """Whether its handles hear each other without a thread."""
        return self._shared is not None

    @property
    def _file(self) -> Path:
        if self._folder is None:
            raise ValueError("a store in memory has no file")
        return Path(self._folder.name) / "runs.db"

    def open(self) -> RecordStore:
        """A handle of its own for one process."""
        if self._shared is not None:
            return self._shared
        self._opened.append(open_store(f"sqlite:///{self._file}", self._clock))
        return self._opened[-1]

    def close(self) -> None:
        """Of all handles."""
        for store in self._opened:
            store.close()
        if self._folder is not None:
            self._folder.cleanup()


@cache
def _template() -> Path:
    """A file with tables and nothing in them, made once: migrations take longer than a simulation."""
    folder = tempfile.TemporaryDirectory(prefix="flowdsl-simulation-", dir=FAST if FAST.is_dir() else None)
    _kept.append(folder)
    file = Path(folder.name) / "template.db"
    open_store(f"sqlite:///{file}").close()
    return file


_kept: list[tempfile.TemporaryDirectory[str]] = []
"""Removed when this process ends."""
