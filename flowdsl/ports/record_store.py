"""The record store: everything that must commit together."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Protocol

from flowdsl.model.change import Change, CommitResult
from flowdsl.model.history import HistoryRow
from flowdsl.model.instance import Instance
from flowdsl.model.item import Item
from flowdsl.model.pending import ClaimedRow, PendingRow, RowKind, TopicDepth, TopicQuota
from flowdsl.model.query import Page, RunQuery
from flowdsl.model.record import RunRecord
from flowdsl.model.run_state import RunState
from flowdsl.ports.unit_of_work import UnitOfWork, Write

NO_TOPICS: Mapping[str, Sequence[str]] = MappingProxyType({})


class RecordStore(Protocol):
    """Runs, pending rows, history, items and heartbeats. Safe for any number of threads and processes.

    Every method may raise StoreUnavailableError; then nothing was changed, or (commit) the change was resolved by re-reading.
    Times are the store's own clock. What is returned are copies.
    """

    parallel_commits: int = 1
    """How many commits of one process the store can work on at once: 1 or 2. With 2, one is prepared while another is written."""

    @abstractmethod
    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        """Apply each change by its own condition, all that hold in one transaction; answer in order.

        A change whose data the store cannot hold is refused (BAD_DATA) alone. A lost answer to COMMIT is resolved by
        re-reading (ALREADY_APPLIED). Deadlocks and serialization failures are retried here. Two changes of one run in
        one call apply in order. Committed rows without an owner wake the listeners.
        """

    @abstractmethod
    def commit_together(self, changes: Sequence[Change], writes: Sequence[Write] = ()) -> Sequence[CommitResult]:
        """Apply all of these StartRun and MoveRun or none, in a transaction of their own. When one does not hold, its result says
        why and those of the others are LOST. `writes` are the user's, called first and again with each repetition of the
        transaction. Raises ConfigurationError for writes when the store has no sessions, and what they raise."""

    @abstractmethod
    def open_work(self) -> UnitOfWork:
        """Begin a transaction of the user's own. Raises ConfigurationError when the store has no sessions, or only one writer."""

    @abstractmethod
    def join(self, session: Any, changes: Sequence[Change], committed: Callable[[], None]) -> Sequence[CommitResult]:
        """Apply StartRun changes within the transaction of the user's own session on the store's database: they are stored when
        that commits. `committed` is called once, after the session has committed it, a savepoint around this call included; never
        when it has not, or when somebody else commits it. What it raises is logged. Answers as `commit`; raises
        ConfigurationError when the store has no sessions or this is none of its, SchemaError when the session does not see the
        store's tables."""

    @abstractmethod
    def claim(self, namespace: str, owner: str, quotas: Sequence[TopicQuota]) -> Sequence[ClaimedRow]:
        """Take due, unclaimed rows for `owner`, at most the quota per topic, in one go with their runs.

        Within a topic: higher priority first, then oldest due first. A claim counts a delivery. Rows that another claim
        is just taking are passed over. An owner without a live heartbeat gets nothing. Rows that an earlier claim of the owner
        took whose answer was lost (it raised) come with the next, beyond its quotas.
        """

    @abstractmethod
    def claim_rows(self, namespace: str, owner: str, row_ids: Sequence[str]) -> Sequence[ClaimedRow]:
        """As `claim`, for named rows: those that are due and unclaimed."""

    @abstractmethod
    def beat(self, namespace: str, instance: Instance, ttl: timedelta) -> bool:
        """Keep the owner's heartbeat alive for `ttl` from now; the first beat makes it. False: it had lapsed, so its
        claims are anybody's to free; the caller must go on under a new owner."""

    @abstractmethod
    def leave(self, namespace: str, owner: str) -> None:
        """End the owner's heartbeat and free its claims without counting lapses. Unknown owners are fine."""

    @abstractmethod
    def instances(self, namespace: str) -> Sequence[Instance]:
        """The owners whose heartbeat is alive, each with its `expires_at` where the store can tell."""

    @abstractmethod
    def free_lapsed(self, namespace: str, dead: Sequence[str] = ()) -> int:
        """Remove heartbeats that have lapsed, and those of owners known to be `dead`, and free every claim of an owner that
        has none: one lapse counted, due at once or, when lapses follow each other, after `flowdsl.model.lapse.rest`. Returns
        how many rows were freed."""

    @abstractmethod
    def lookup(self, run_ids: Sequence[str]) -> Mapping[str, RunRecord]:
        """The runs of these ids; unknown ids are missing from the answer."""

    @abstractmethod
    def latest(self, namespace: str, workflow: str, foreign_id: str) -> RunRecord | None:
        """The unfinished run of the foreign id, else the one created last."""

    @abstractmethod
    def runs(self, query: RunQuery) -> Page:
        """One page. Following `next` visits every run that existed at the start exactly once."""

    @abstractmethod
    def history(self, run_id: str) -> Sequence[HistoryRow]:
        """Every version of the run, first to last."""

    @abstractmethod
    def rows(self, run_ids: Sequence[str]) -> Sequence[PendingRow]:
        """The pending rows of these runs, by row id."""

    @abstractmethod
    def next_due(self, namespace: str, topics: Sequence[str]) -> datetime | None:
        """When the earliest unclaimed row of these topics is due; None: there is none."""

    @abstractmethod
    def depths(self, namespace: str, topics: Sequence[str]) -> Mapping[str, TopicDepth]:
        """What waits in each topic."""

    @abstractmethod
    def unattended(
        self,
        namespace: str,
        workflow: str,
        statuses: Sequence[str],
        after: str,
        limit: int,
        kind: RowKind = RowKind.STEP,
        topics: Mapping[str, Sequence[str]] = NO_TOPICS,
    ) -> Sequence[RunRecord]:
        """Runs that are INITIATED or RUNNING in one of these statuses and have no row of this kind (STEP or TIMEOUT), by run id,
        from the one after `after`; at most `limit`. Of a status that `topics` names: runs that lack a TIMEOUT row in any of its
        topics. What the sweeper mends."""

    @abstractmethod
    def purge(
        self,
        namespace: str,
        workflow: str,
        states: Sequence[RunState],
        age: timedelta,
        limit: int,
        unless_waiting: Sequence[str] = (),
    ) -> int:
        """Delete runs in these states, all of them finished ones, that ended longer than `age` ago, those that ended first
        before others, at most `limit`: with history and rows. A run with a row in one of the topics `unless_waiting` stays, and
        keeps none of the others from going. Returns how many."""

    @abstractmethod
    def item(self, namespace: str, kind: str, key: str) -> Item | None:
        """One item."""

    @abstractmethod
    def items(self, namespace: str, kind: str, after: str = "", limit: int = 100) -> Sequence[Item]:
        """Items of a kind by key, from the one after `after`."""

    @abstractmethod
    def due_items(self, namespace: str, kind: str, limit: int) -> Sequence[Item]:
        """Items of a kind that are due, oldest first."""

    @abstractmethod
    def next_due_item(self, namespace: str, kinds: Sequence[str]) -> datetime | None:
        """When the earliest item of these kinds is due; None: there is none."""

    @abstractmethod
    def now(self) -> datetime:
        """The store's clock."""

    @abstractmethod
    def listen(self, namespace: str, wake: Callable[[Sequence[str]], None]) -> Callable[[], None]:
        """Call `wake(topics)` soon after rows without an owner were committed in these topics, by any process the store can
        hear (at least this one). Spurious and missed calls are allowed. Returns the function that ends it."""

    @abstractmethod
    def close(self) -> None:
        """Let go of every connection and thread. Further calls raise."""
