"""Random races of pause, resume, cancel, deletion, callbacks, timeouts and retries against running functions: every history is
legal, nothing is lost in silence, no timer is early or another visit's, every hook is told."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.memory.role_scheduler import MemoryRoleScheduler
from flowdsl.ports.record_store import RecordStore
from flowdsl.ports.role_scheduler import RoleScheduler
from flowdsl.testing.clock import ManualClock
from flowdsl_sql.record_store import open_store
from flowdsl_sql.role_scheduler import open_roles
from tests.races.flow import CANARY
from tests.races.oracle import Oracle
from tests.races.race import Race
from tests.races.script import Script

RACES = int(os.environ.get("FLOWDSL_RACES", "300"))
"""How many in memory; on SQLite it is a tenth."""
LONGEST = 200
scripts = st.lists(st.integers(0, 219), min_size=10, max_size=LONGEST)
quick = settings(deadline=None, suppress_health_check=list(HealthCheck))
Held = Callable[[list[int]], Race]


def held(script: list[int], clock: ManualClock, store: RecordStore, roles: RoleScheduler, number: int = 0) -> Race:
    """A race that was run to its end and in which everything was as it has to be."""
    race = Race(Script(script), clock, store, roles, number)
    race.run()
    race.settle()
    letters = race.outside.dead_letters
    oracle = Oracle(race, [letters.get(letter.letter_id) for letter in letters.list(limit=1000).letters])
    assert list(oracle.faults()) == []
    assert [text for text in oracle.remains() if CANARY in text] == []
    return race


@pytest.mark.slow
@given(scripts)
@settings(quick, max_examples=RACES)
def test_races_in_memory(script: list[int]) -> None:
    clock = ManualClock()
    held(script, clock, MemoryRecordStore(clock), MemoryRoleScheduler(clock))


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Held:
    """Races in namespaces of their own of one database."""
    url = f"sqlite:///{tmp_path_factory.mktemp('races') / 'races.db'}"
    open_store(url, migrate=True).close()
    numbers = itertools.count(1)

    def race(script: list[int]) -> Race:
        clock = ManualClock()
        store, roles = open_store(url, clock=clock), open_roles(url, clock=clock)
        try:
            return held(script, clock, store, roles, next(numbers))
        finally:
            roles.close()
            store.close()

    return race


@pytest.mark.slow
@given(script=scripts)
@settings(quick, max_examples=max(1, RACES // 10))
def test_races_on_sqlite(sqlite: Held, script: list[int]) -> None:
    sqlite(script)
