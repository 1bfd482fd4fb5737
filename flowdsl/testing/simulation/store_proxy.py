"""A process's view of the record store: every call passes the gate, and what the store did is noted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from typing import Any

from msgspec.structs import replace

from flowdsl.errors import StoreError
from flowdsl.model.change import Change, CommitResult
from flowdsl.model.instance import Instance
from flowdsl.model.pending import ClaimedRow, TopicQuota
from flowdsl.ports.record_store import RecordStore
from flowdsl.ports.unit_of_work import Write
from flowdsl.testing.simulation.fault import Fault
from flowdsl.testing.simulation.gate import Gate
from flowdsl.testing.simulation.journal import Journal
from flowdsl.testing.simulation.weather import Weather

MISSED = 0.3
"""How likely a wake-up is missed."""
Wake = Callable[[Sequence[str]], None]


class StoreProxy:
    """Stands for a `RecordStore`. Methods that it does not name itself, those of tomorrow included, go through the gate as they
    are. In: `deceased`, which owners' processes have ended where this one could see it; `rings`, told of each commit where the
    store is not to do the listening itself; `alive`, told which owners have claims at most, whenever others' were freed;
    `heard`, told of each heartbeat that was answered.

    A claim whose answer is lost keeps the store's promise: what it took comes with the owner's next claim.
    """

    parallel_commits = 1

    def __init__(
        self,
        store: RecordStore,
        gate: Gate,
        name: str,
        journal: Journal,
        weather: Weather,
        deceased: Callable[[str], bool],
        rings: Callable[[], None] | None,
        alive: Callable[[Collection[str]], None],
        heard: Callable[[], None],
    ) -> None:
        self._store = store
        self._gate = gate
        self._name = name
        self._journal = journal
        self._weather = weather
        self._deceased = deceased
        self._rings = rings
        self._alive = alive
        self._heard = heard
        self._unread: list[ClaimedRow] = []
        self._wake: Wake | None = None
        self._unlisten: Callable[[], None] = _nothing

    def __getattr__(self, name: str) -> Any:
        """A method of the port, behind the gate; kept, so that this happens once."""
        method = getattr(self._store, name)

        def call(*arguments: Any, **named: Any) -> Any:
            return self._gate.through(name, lambda: method(*arguments, **named))

        self.__dict__[name] = call
        return call

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        def apply(some: Sequence[Change]) -> Sequence[CommitResult]:
            results = self._store.commit(some)
            self._journal.committed(self._name, some, results)
            if self._rings is not None:
                self._rings()
            return results

        half = changes[: len(changes) // 2]
        return self._gate.through("commit", lambda: apply(changes), (lambda: _done(apply(half))) if half else None)

    def commit_together(self, changes: Sequence[Change], writes: Sequence[Write] = ()) -> Sequence[CommitResult]:
        done = False

        def apply() -> Sequence[CommitResult]:
            nonlocal done
            results = self._store.commit_together(changes, writes)
            done = all(result.applied for result in results)
            self._journal.committed(self._name, changes, results)
            if self._rings is not None:
                self._rings()
            return results

        try:
            return self._gate.through("commit_together", apply)
        except StoreError:
            if not done:
                self._journal.undone(changes)
            raise

    def claim(self, namespace: str, owner: str, quotas: Sequence[TopicQuota]) -> Sequence[ClaimedRow]:
        return self._claim("claim", owner, lambda: self._store.claim(namespace, owner, quotas))

    def claim_rows(self, namespace: str, owner: str, row_ids: Sequence[str]) -> Sequence[ClaimedRow]:
        return self._claim("claim_rows", owner, lambda: self._store.claim_rows(namespace, owner, row_ids))

    def _claim(self, name: str, owner: str, claim: Callable[[], Sequence[ClaimedRow]]) -> Sequence[ClaimedRow]:
        taken: list[ClaimedRow] = []

        def take() -> Sequence[ClaimedRow]:
            taken.extend(self._still_held(owner))
            taken.extend(claim())
            return taken

        try:
            found = self._gate.through(name, take)
        except StoreError:
            self._unread.extend(entry for entry in taken if entry not in self._unread)
            raise
        self._unread.clear()
        if self._journal.lines is not None and found:
            self._journal.say(self._name, f"{name} as {owner}: {', '.join(entry.row.row_id for entry in found)}")
        return found

    def _still_held(self, owner: str) -> list[ClaimedRow]:
        """What claims without an answer had taken and the owner still has."""
        unread = [entry for entry in self._unread if entry.row.owner == owner]
        if not unread:
            return []
        rows = {row.row_id: row for row in self._store.rows([entry.row.run_id for entry in unread])}
        runs = self._store.lookup([entry.row.run_id for entry in unread])
        held: list[ClaimedRow] = []
        for entry in unread:
            row = rows.get(entry.row.row_id)
            if row is not None and row.owner == owner and row.delivery == entry.row.delivery:
                held.append(ClaimedRow(row, runs.get(row.run_id)))
        return held

    def beat(self, namespace: str, instance: Instance, lapse: timedelta) -> bool:
        answered = self._gate.through("beat", lambda: self._store.beat(namespace, instance, lapse))
        self._heard()
        return answered

    def free_lapsed(self, namespace: str, dead: Sequence[str] = ()) -> int:
        def free() -> int:
            freed = self._store.free_lapsed(namespace, dead)
            self._alive({one.owner for one in self._store.instances(namespace)})
            return freed

        return self._gate.through("free_lapsed", free)

    def instances(self, namespace: str) -> Sequence[Instance]:
        """Simulated processes share one real process, of which nobody must conclude anything; but those that are gone, and were
        this one's neighbours, look it."""
        found = self._gate.through("instances", lambda: self._store.instances(namespace))
        return [replace(one, pid_started="gone") if self._deceased(one.owner) else replace(one, pid=0) for one in found]

    def listen(self, namespace: str, wake: Wake) -> Callable[[], None]:
        """Never through a thread of the store's: where it would need one, the world rings."""

        def hear(topics: Sequence[str]) -> None:
            if self._wake is not None and not self._weather.strikes(Fault.MISSED_WAKE, MISSED):
                wake(topics)

        self._wake = hear
        if self._rings is None:
            self._unlisten = self._gate.through("listen", lambda: self._store.listen(namespace, hear))
        return self.hang_up

    def hang_up(self) -> None:
        """Listen no more."""
        self._wake = None
        self._unlisten()

    def ring(self) -> None:
        """Rows were committed, nobody says where."""
        if self._wake is not None:
            self._wake(())

    def close(self) -> None:
        """The world closes its stores."""


def _nothing() -> None:
    """Nobody listens."""


def _done(_: object) -> None:
    """The answer is lost anyway."""
