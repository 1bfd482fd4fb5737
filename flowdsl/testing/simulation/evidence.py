"""What a checker judges by: what the store holds, asked of it through its port, and the journal."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace

from flowdsl.model.history import HistoryRow
from flowdsl.model.item import Item, ItemKind
from flowdsl.model.pending import PendingRow
from flowdsl.model.query import RunQuery
from flowdsl.model.record import RunRecord
from flowdsl.model.run_state import RunState
from flowdsl.ports.record_store import RecordStore
from flowdsl.testing.simulation.fault import Fault
from flowdsl.testing.simulation.journal import Execution, Journal, Kind
from flowdsl.testing.simulation.workload import Cargo, Workload

NAMESPACE = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that is known after a simulation."""

    journal: Journal
    workload: Workload
    runs: Mapping[str, RunRecord]
    histories: Mapping[str, Sequence[HistoryRow]]
    rows: Mapping[str, Sequence[PendingRow]]
    items: Sequence[Item] = ()
    owners: frozenset[str] = frozenset()
    """Those whose heartbeat is alive."""
    faults: frozenset[Fault] = frozenset()
    recovery: timedelta | None = timedelta(0)
    """How long it took after the last fault until nothing was left to do; None: it did not end."""
    leftovers: Sequence[str] = ()
    """What processes still hold that they should not."""
    now: datetime
    steps: Mapping[tuple[str, int], Sequence[Execution]] = field(default_factory=dict)
    """Executions of steps by run and version, in order."""
    others: Mapping[str, Sequence[Execution]] = field(default_factory=dict)
    """Those of timeouts, callbacks and hooks by run."""

    @classmethod
    def collect(
        cls,
        *,
        store: RecordStore,
        journal: Journal,
        workload: Workload,
        faults: Collection[Fault],
        recovery: timedelta | None,
        leftovers: Sequence[str],
    ) -> Evidence:
        """Ask the store for all of it."""
        runs = {record.run_id: record for record in every_run(store)}
        rows: dict[str, list[PendingRow]] = {run_id: [] for run_id in runs}
        for row in store.rows(list(runs)):
            rows[row.run_id].append(row)
        return cls(
            journal=journal,
            workload=workload,
            runs=runs,
            histories={run_id: store.history(run_id) for run_id in runs},
            rows=rows,
            items=[item for kind in ItemKind for item in store.items(NAMESPACE, kind, limit=10_000)],
            owners=frozenset(instance.owner for instance in store.instances(NAMESPACE)),
            faults=frozenset(faults),
            recovery=recovery,
            leftovers=leftovers,
            now=store.now(),
            steps=by_version(journal.executions),
            others=by_run(journal.executions),
        )

    def trail(self, record: RunRecord) -> Sequence[str]:
        """What steps left in the run's object."""
        if record.payload is None or not record.payload.data:
            return ()
        return tuple(msgspec.json.decode(record.payload.data, type=Cargo).trail)


def by_version(executions: Sequence[Execution]) -> Mapping[tuple[str, int], Sequence[Execution]]:
    """Executions of steps by the run and the version that they were told, in order."""
    found: dict[tuple[str, int], list[Execution]] = {}
    for execution in executions:
        if execution.kind is Kind.STEP:
            found.setdefault((execution.run_id, execution.version), []).append(execution)
    return found


def by_run(executions: Sequence[Execution]) -> Mapping[str, Sequence[Execution]]:
    """Executions of everything else by run, in order."""
    found: dict[str, list[Execution]] = {}
    for execution in executions:
        if execution.kind is not Kind.STEP:
            found.setdefault(execution.run_id, []).append(execution)
    return found


def every_run(store: RecordStore, states: tuple[RunState, ...] = ()) -> list[RunRecord]:
    """All pages."""
    found: list[RunRecord] = []
    query = RunQuery(namespace=NAMESPACE, states=states, limit=500)
    while True:
        page = store.runs(query)
        found.extend(page.runs)
        if page.next is None:
            return found
        query = replace(query, after=page.next)
