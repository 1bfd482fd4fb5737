"""The record store's contract. A subclass defines three fixtures:

- `clock`: a `ManualClock`;
- `store_factory`: a function that opens another handle on the same data, taking its time from `clock`;
- nothing else: `store` and `world` are made from these. A store with sessions also has `session_factory`: see `JoiningRules`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest

from flowdsl.ports.record_store import RecordStore
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.contracts.beside import BesideRules
from flowdsl.testing.contracts.claims import ClaimRules
from flowdsl.testing.contracts.concurrency import ConcurrencyRules
from flowdsl.testing.contracts.control import ControlRules
from flowdsl.testing.contracts.items import ItemRules
from flowdsl.testing.contracts.joining import JoiningRules
from flowdsl.testing.contracts.queries import QueryRules
from flowdsl.testing.contracts.retention import RetentionRules
from flowdsl.testing.contracts.runs import RunRules
from flowdsl.testing.contracts.samples import World
from flowdsl.testing.contracts.stopping import StoppingRules
from flowdsl.testing.contracts.together import TogetherRules


class RecordStoreContract(
    RunRules,
    BesideRules,
    RetentionRules,
    TogetherRules,
    JoiningRules,
    ClaimRules,
    ControlRules,
    StoppingRules,
    ItemRules,
    QueryRules,
    ConcurrencyRules,
):
    """Every rule of `flowdsl.ports.record_store.RecordStore`."""

    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    @pytest.fixture
    def store(self, store_factory: Callable[[], RecordStore]) -> Iterator[RecordStore]:
        store = store_factory()
        yield store
        store.close()

    @pytest.fixture
    def world(self, store: RecordStore, clock: ManualClock) -> World:
        return World(store, clock, uuid.uuid4().hex[:8])
