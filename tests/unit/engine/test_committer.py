"""Group commit, when the store does what no store should."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from flowdsl.engine.committer import Committer
from flowdsl.engine.metrics import Metrics
from flowdsl.errors import StoreError
from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.model.change import Change, CommitResult, DropRow
from flowdsl.testing.clock import ManualClock


class Surprising(MemoryRecordStore):
    """Raises what is no StoreError, once."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.surprised = False

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        if not self.surprised:
            self.surprised = True
            raise OSError(22, "Invalid argument")
        return super().commit(changes)


def test_every_change_of_a_group_hears_of_an_error_that_no_store_should_raise(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    committer = Committer(Surprising(clock), clock, Metrics())
    results: list[CommitResult] = []
    errors: list[StoreError] = []
    for name in ("a", "b"):
        change = DropRow(change_id=name, row_id=name, owner="o", delivery=1)
        committer.submit(change, results.append, errors.append)

    committer.flush()

    assert [str(error) for error in errors] == ["the store raised OSError: [Errno 22] Invalid argument"] * 2
    assert results == []
    assert committer.idle
    assert "commit of 2 changes failed" in caplog.text

    committer.submit(DropRow(change_id="c", row_id="c", owner="o", delivery=1), results.append, errors.append)
    committer.flush()
    assert len(results) == 1
