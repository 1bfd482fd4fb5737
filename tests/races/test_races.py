"""Random races of pause, resume, cancel, deletion, callbacks, timeouts and retries against running functions: every history is
legal, nothing is lost in silence, no timer is early or another visit's, every hook is told."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.memory.role_scheduler import MemoryRoleScheduler
from flowdsl.ports.record_store import RecordStore
from flowdsl.ports.role_scheduler import RoleScheduler
from flowdsl.testing.clock import ManualClock
from tests.races.flow import CANARY
from tests.races.oracle import Oracle
from tests.races.race import Race
from tests.races.script import Script

RACES = int(os.environ.get("FLOWDSL_RACES", "400"))
"""How many in memory; a fifth as many on SQLite."""
numbers = st.lists(st.integers(0, 219), min_size=10, max_size=120)
quick = settings(deadline=None, suppress_health_check=list(HealthCheck))


def run(script: list[int], clock: ManualClock, store: RecordStore, roles: RoleScheduler) -> Race:
    race = Race(Script(script), clock, store, roles)
    race.run()
    race.settle()
    letters = [race.outside.dead_letters.get(letter.letter_id) for letter in race.outside.dead_letters.list().letters]
    oracle = Oracle(race, letters)
    assert list(oracle.faults()) == []
    for run in oracle.runs.values():
        if run.payload is None:
            kept = [repr(run), *map(repr, oracle.history[run.run_id]), *map(repr, oracle.rows[run.run_id])]
            assert [text for text in kept if CANARY in text] == []
            assert [letter for letter in letters if letter.run_id == run.run_id] == []
    return race


@given(numbers)
@settings(quick, max_examples=RACES)
def test_races_in_memory(script: list[int]) -> None:
    clock = ManualClock()
    run(script, clock, MemoryRecordStore(clock), MemoryRoleScheduler(clock))
