"""What can be asked: runs, history, rows, depths, items. Each reads what is committed and locks nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from flowdsl.model.history import HistoryRow
from flowdsl.model.item import Item
from flowdsl.model.pending import PendingRow, RowKind, TopicDepth
from flowdsl.model.query import Cursor, Order, Page, RunQuery
from flowdsl.model.record import RunRecord
from flowdsl.model.run_state import RunState
from flowdsl_sql import rows
from flowdsl_sql.database import Database, Row, Session, to_datetime, to_micros
from flowdsl_sql.rows import HISTORY, ITEM, PENDING, RUN, history_row, pending_row
from flowdsl_sql.unreadable import known_run, known_runs
from flowdsl_sql.waiting import priorities, waiting_rows

MAX_UNION = 100
ATTENDED = {
    RowKind.STEP: "p.row_id = r.run_id",
    RowKind.TIMEOUT: f"p.kind <> 0 AND p.run_id = r.run_id AND p.kind = {int(RowKind.TIMEOUT)}",
}


class Queries:
    """The reading half of the record store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def lookup(self, run_ids: Sequence[str]) -> Mapping[str, RunRecord]:
        if not run_ids:
            return {}
        found = self._database.read(lambda session: session.among(f"SELECT {RUN} FROM flowdsl_run WHERE run_id IN", run_ids))
        return {row[0]: known_run(row) for row in found}

    def latest(self, namespace: str, workflow: str, foreign_id: str) -> RunRecord | None:
        where = "namespace = ? AND workflow = ? AND foreign_id = ?"
        values = (namespace, workflow, foreign_id)

        def work(session: Session) -> RunRecord | None:
            row = session.one(f"SELECT {RUN} FROM flowdsl_run WHERE {where} AND finished IS NULL", values)
            if row is None:
                row = session.one(f"SELECT {RUN} FROM flowdsl_run WHERE {where} ORDER BY created DESC LIMIT 1", values)
            return None if row is None else known_run(row)

        return self._database.read(work)

    def runs(self, query: RunQuery) -> Page:
        conditions = ["namespace = ?"]
        values: list[Any] = [query.namespace]
        marks = self._database.dialect.marks
        padded = self._database.dialect.padded
        workflows: Sequence[str] = query.workflows
        if query.foreign_ids and not workflows:  # people do not always say of which: the index of foreign ids wants to know
            workflows = self._workflows(query.namespace)
            if not workflows:
                return Page((), None)
        for column, wanted in (
            ("workflow", workflows),
            ("foreign_id", query.foreign_ids),
            ("status", query.statuses),
            ("state", [int(state) for state in query.states]),
        ):
            if len(wanted) == 1:
                conditions.append(f"{column} = ?")  # so that an index may be in order behind it
                values.append(wanted[0])
            elif wanted:
                conditions.append(f"{column} IN {marks(len(wanted))}")
                values.extend(padded(list[Any](wanted)))
        bounds: list[Any] = list(values)
        if query.created_after is not None:
            conditions.append("created > ?")
            bounds.append(to_micros(query.created_after))
        if query.created_before is not None:
            conditions.append("created < ?")
            bounds.append(to_micros(query.created_before))
        newest = query.order is Order.NEWEST_FIRST
        if query.after is not None:
            sign = "<" if newest else ">"
            at = to_micros(query.after.created_at)
            conditions.append(f"created {sign}= ? AND (created {sign} ? OR run_id {sign} ?)")
            bounds.extend((at, at, query.after.run_id))
        way = "DESC" if newest else "ASC"
        # few runs share a foreign id: find them by it and sort, rather than walk the index of creation until enough are found
        by = "created + 0" if query.foreign_ids else "created"
        sql = f"SELECT {RUN} FROM flowdsl_run WHERE {' AND '.join(conditions)} ORDER BY {by} {way}, run_id {way} LIMIT ?"
        bounds.append(query.limit + 1)
        found = [known_run(row) for row in self._database.read(lambda session: session.all(sql, bounds))]
        page = found[: query.limit]
        more = len(found) > query.limit
        return Page(page, Cursor(page[-1].created_at, page[-1].run_id) if more else None)

    def _workflows(self, namespace: str) -> Sequence[str]:
        """Those that have runs: from one to the next in an index, past the runs of each."""
        following = "SELECT workflow FROM flowdsl_run WHERE namespace = ? AND workflow > ? ORDER BY workflow LIMIT 1"

        def work(session: Session) -> list[str]:
            found: list[str] = []
            while (row := session.one(following, (namespace, found[-1] if found else ""))) is not None:
                found.append(row[0])
            return found

        return self._database.read(work)

    def history(self, run_id: str) -> Sequence[HistoryRow]:
        sql = f"SELECT {HISTORY} FROM flowdsl_history WHERE run_id = ? ORDER BY version"
        return [history_row(row) for row in self._database.read(lambda session: session.all(sql, (run_id,)))]

    def rows(self, run_ids: Sequence[str]) -> Sequence[PendingRow]:
        if not run_ids:
            return ()

        def work(session: Session) -> dict[str, PendingRow]:
            steps = session.among(f"SELECT {PENDING} FROM flowdsl_pending WHERE row_id IN", run_ids, behind=" AND kind = 0")
            beside = session.among(f"SELECT {PENDING} FROM flowdsl_pending WHERE kind <> 0 AND run_id IN", run_ids)
            return {row[0]: pending_row(row) for row in (*steps, *beside)}

        found = self._database.read(work)
        return [found[row_id] for row_id in sorted(found)]

    def next_due(self, namespace: str, topics: Sequence[str]) -> datetime | None:
        def work(session: Session) -> int | None:
            return min((first for topic in topics for _, first in priorities(session, namespace, topic)), default=None)

        due = self._database.read(work)
        return None if due is None else to_datetime(due)

    def depths(self, namespace: str, topics: Sequence[str]) -> Mapping[str, TopicDepth]:
        def work(session: Session) -> dict[str, TopicDepth]:
            now = session.now()
            depths: dict[str, TopicDepth] = {}
            for topic in topics:
                row = session.one(waiting_rows(session.dialect).depth, (now, namespace, topic))
                due, first, every = row or (0, now, 0)
                oldest = timedelta(microseconds=now - first) if due else timedelta(0)
                depths[topic] = TopicDepth(due, oldest, every - due)
            return depths

        return self._database.read(work)

    def unattended(
        self,
        namespace: str,
        workflow: str,
        statuses: Sequence[str],
        after: str,
        limit: int,
        kind: RowKind,
        topics: Mapping[str, Sequence[str]],
    ) -> Sequence[RunRecord]:
        columns = ", ".join(f"r.{name}" for name in RUN.split(", "))
        marks, padded = self._database.dialect.marks, self._database.dialect.padded
        lacks = f"NOT EXISTS (SELECT 1 FROM flowdsl_pending p WHERE {ATTENDED[kind]}"
        either: list[str] = []
        values: list[Any] = []
        plain = [status for status in statuses if not topics.get(status)]
        if plain:
            either.append(f"{lacks}) AND r.status IN {marks(len(plain))}")
            values += padded(plain)
        for status in sorted(set(statuses).difference(plain)):
            missing = " OR ".join([f"{lacks} AND p.topic = ?)"] * len(topics[status]))
            either.append(f"r.status = ? AND ({missing})")
            values += [status, *topics[status]]
        if not either:
            return ()
        # `finished IS NULL` and the workflow lead to the index of unfinished runs
        sql = (
            f"SELECT {columns} FROM flowdsl_run r WHERE r.namespace = ? AND r.workflow = ? AND r.finished IS NULL"
            f" AND r.state IN (?, ?) AND r.run_id > ? AND ({' OR '.join(either)}) ORDER BY r.run_id LIMIT ?"
        )
        before = (namespace, workflow, int(RunState.INITIATED), int(RunState.RUNNING), after)

        def work(session: Session) -> Sequence[RunRecord]:
            return known_runs(session.all(sql, (*before, *values, limit)))

        return self._database.read(work)

    def item(self, namespace: str, kind: str, key: str) -> Item | None:
        sql = f"SELECT {ITEM} FROM flowdsl_item WHERE namespace = ? AND kind = ? AND item_key = ?"
        row = self._database.read(lambda session: session.one(sql, (namespace, kind, key)))
        return None if row is None else rows.item(row)

    def items(self, namespace: str, kind: str, after: str, limit: int) -> Sequence[Item]:
        sql = f"SELECT {ITEM} FROM flowdsl_item WHERE namespace = ? AND kind = ? AND item_key > ? ORDER BY item_key LIMIT ?"
        return [rows.item(row) for row in self._database.read(lambda session: session.all(sql, (namespace, kind, after, limit)))]

    def due_items(self, namespace: str, kind: str, limit: int) -> Sequence[Item]:
        sql = f"SELECT {ITEM} FROM flowdsl_item WHERE namespace = ? AND kind = ? AND due <= ? ORDER BY due, item_key LIMIT ?"

        def work(session: Session) -> Sequence[Item]:
            return [rows.item(row) for row in session.all(sql, (namespace, kind, session.now(), limit))]

        return self._database.read(work)

    def next_due_item(self, namespace: str, kinds: Sequence[str]) -> datetime | None:
        # not MIN, which reads every item of a kind where the planner knows no better
        first = "SELECT due FROM flowdsl_item WHERE namespace = ? AND kind = ? AND due IS NOT NULL ORDER BY due LIMIT 1"

        def work(session: Session) -> int | None:
            found: list[Row] = []
            for begin in range(0, len(kinds), MAX_UNION):
                some = kinds[begin : begin + MAX_UNION]
                each = " UNION ALL ".join([f"SELECT ({first})"] * len(some))
                found += session.all(each, [value for kind in some for value in (namespace, kind)])
            return min((row[0] for row in found if row[0] is not None), default=None)

        due = self._database.read(work)
        return None if due is None else to_datetime(due)

    def now(self) -> datetime:
        return to_datetime(self._database.read(lambda session: session.now()))
