"""What every test gets: a detector of leaked threads and tasks, hypothesis profiles, and identifiers that repeat."""

from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, settings

from flowdsl.clock import IdSource, seeded_ids
from tests.house.leaks import Loops, leaked_threads

settings.register_profile("home", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("home"), derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "home"))


@pytest.fixture(scope="session")
def event_loops() -> Iterator[Loops]:
    """Every event loop that was made since the session began and still exists."""
    loops = Loops()
    with loops.watched():
        yield loops


@pytest.fixture(autouse=True)
def no_leaks(event_loops: Loops) -> Iterator[None]:
    """Fails the test that leaves a thread or an asyncio task behind. What fixtures of a wider scope made is theirs."""
    threads = set(threading.enumerate())
    tasks = set(event_loops.pending())
    yield
    found = [f"the thread {thread.name}" for thread in leaked_threads(threads)]
    found += [f"the task {task!r}" for task in event_loops.leaked(tasks)]
    if found:
        pytest.fail(f"the test left behind {', '.join(sorted(found))}")


class _FrozenClock:
    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0


@pytest.fixture
def make_ids() -> Callable[[int], IdSource]:
    """Makes sources of identifiers that answer the same for the same seed, whatever the time of day."""
    return lambda seed: seeded_ids(seed, _FrozenClock())


@pytest.fixture
def ids(request: pytest.FixtureRequest, make_ids: Callable[[int], IdSource]) -> IdSource:
    """Identifiers that are the same in every run of this test and differ from those of other tests."""
    return make_ids(zlib.crc32(request.node.nodeid.encode()))
