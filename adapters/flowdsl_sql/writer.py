"""The statements of a commit, each for many rows. This class is SQLite's; the others say how a batch travels to their server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from flowdsl_sql.database import Row, Session

RUN_COLUMNS = (
    ("run_id", "text"),
    ("namespace", "text"),
    ("workflow", "text"),
    ("foreign_id", "text"),
    ("status", "text"),
    ("state", "smallint"),
    ("version", "bigint"),
    ("visit", "bigint"),
    ("task", "bigint"),
    ("payload", "bytea"),
    ("content_type", "text"),
    ("schema_version", "integer"),
    ("created", "bigint"),
    ("updated", "bigint"),
    ("finished", "bigint"),
    ("change_id", "text"),
    ("auto_resumes", "integer"),
    ("timers", "smallint"),
    ("metadata", "text"),
    ("tags", "text"),
    ("parent_run_id", "text"),
    ("priority", "integer"),
)
MOVE_COLUMNS = (
    ("status", "text"),
    ("state", "smallint"),
    ("visit", "bigint"),
    ("task", "bigint"),
    ("payload", "bytea"),
    ("content_type", "text"),
    ("schema_version", "integer"),
    ("updated", "bigint"),
    ("finished", "bigint"),
    ("change_id", "text"),
    ("reason", "text"),
    ("actor", "text"),
    ("last_error", "text"),
    ("auto_resumes", "integer"),
    ("timers", "smallint"),
    ("run_id", "text"),
    ("version", "bigint"),
)
KEPT_WHEN_NULL = frozenset({"task", "payload", "content_type", "schema_version"})
PENDING_COLUMNS = (
    ("row_id", "text"),
    ("namespace", "text"),
    ("workflow", "text"),
    ("topic", "text"),
    ("kind", "smallint"),
    ("receiver", "text"),
    ("run_id", "text"),
    ("version", "bigint"),
    ("visit", "bigint"),
    ("due", "bigint"),
    ("remaining", "bigint"),
    ("created", "bigint"),
    ("priority", "integer"),
    ("owner", "text"),
    ("delivery", "integer"),
    ("attempts", "integer"),
    ("lapses", "integer"),
    ("last_error", "text"),
    ("payload", "bytea"),
    ("mark", "text"),
)
HISTORY_COLUMNS = (
    ("run_id", "text"),
    ("version", "bigint"),
    ("from_status", "text"),
    ("to_status", "text"),
    ("from_state", "smallint"),
    ("to_state", "smallint"),
    ("cause", "text"),
    ("name", "text"),
    ("actor", "text"),
    ("reason", "text"),
    ("error", "text"),
    ("attempt", "integer"),
    ("change_id", "text"),
    ("at", "bigint"),
)
Columns = tuple[tuple[str, str], ...]


def names(columns: Columns) -> str:
    return ", ".join(name for name, _ in columns)


class Look(NamedTuple):
    """What a commit has to know of a run, whose row it has locked."""

    version: int
    status: str
    state: int
    visit: int
    timers: int
    finished: int | None
    requested_state: int | None
    requested_reason: str | None
    requested_actor: str | None


class RowLook(NamedTuple):
    """The same of a pending row."""

    owner: str | None
    delivery: int
    namespace: str
    topic: str
    mark: str | None
    run_id: str
    workflow: str
    version: int
    kind: int


UPSERT_ROWS = (
    f"INSERT INTO flowdsl_pending ({names(PENDING_COLUMNS)}) VALUES ({', '.join('?' * len(PENDING_COLUMNS))})"
    " ON CONFLICT (row_id) DO UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name, _ in PENDING_COLUMNS[1:])
)
INSERT_RUN = (
    f"INSERT INTO flowdsl_run ({names(RUN_COLUMNS)}) VALUES ({', '.join('?' * len(RUN_COLUMNS))})"
    " ON CONFLICT DO NOTHING RETURNING run_id"
)
MOVE_RUNS = (
    "UPDATE flowdsl_run SET version = version + 1, requested_state = NULL, requested_reason = NULL, requested_actor = NULL, "
    + ", ".join(f"{name} = COALESCE(?, {name})" if name in KEPT_WHEN_NULL else f"{name} = ?" for name, _ in MOVE_COLUMNS[:-2])
    + " WHERE run_id = ? AND version = ?"
)
INSERT_HISTORY = f"INSERT INTO flowdsl_history ({names(HISTORY_COLUMNS)}) VALUES ({', '.join('?' * len(HISTORY_COLUMNS))})"
LOOK = (
    "SELECT run_id, version, status, state, visit, timers, finished, requested_state, requested_reason, requested_actor"
    " FROM flowdsl_run WHERE run_id IN"
)


class Writer:
    """Writes within one transaction, in the caller's order: runs before rows, so that everybody locks in one order."""

    def __init__(self, session: Session) -> None:
        self.session = session

    # -- looks that lock ------------------------------------------------------------------------------------------------------

    def look(self, run_ids: Sequence[str]) -> tuple[int, dict[str, Look]]:
        """Lock the runs in the order of their ids; the time after that, and what was found."""
        rows, now = self.session.among_and_now(LOOK, run_ids, f" ORDER BY run_id{self.session.dialect.for_update}")
        return now, {row[0]: Look(*row[1:]) for row in rows}

    def peek(self, run_ids: Sequence[str]) -> dict[str, Look]:
        """The same without a lock."""
        return {row[0]: Look(*row[1:]) for row in self.session.among(LOOK, run_ids)}

    def look_rows(self, row_ids: Sequence[str]) -> dict[str, RowLook]:
        """Lock pending rows."""
        session = self.session
        rows = session.among(
            "SELECT row_id, owner, delivery, namespace, topic, mark, run_id, workflow, version, kind FROM flowdsl_pending"
            " WHERE row_id IN",
            row_ids,
            behind=f" ORDER BY row_id{session.dialect.for_update}",
        )
        return {row[0]: RowLook(*row[1:]) for row in rows}

    def earlier(self, run_ids: Sequence[str], change_ids: Sequence[str]) -> Mapping[str, tuple[int, int]]:
        """Which of these changes had committed: state and time by change id."""
        wanted = set(change_ids)
        rows = self.session.among("SELECT change_id, to_state, at FROM flowdsl_history WHERE run_id IN", run_ids)
        return {row[0]: (row[1], row[2]) for row in rows if row[0] in wanted}

    def unfinished(self, namespace: str, workflow: str, foreign_id: str) -> str | None:
        row = self.session.one(
            "SELECT run_id FROM flowdsl_run WHERE namespace = ? AND workflow = ? AND foreign_id = ? AND finished IS NULL",
            (namespace, workflow, foreign_id),
        )
        return None if row is None else row[0]

    # -- runs and history -----------------------------------------------------------------------------------------------------

    def insert_runs(self, rows: Sequence[Row]) -> set[str]:
        """Insert runs whose foreign id is free; the ids of those that were inserted."""
        execute = self.session.execute
        return {found[0][0] for row in rows if (found := execute(INSERT_RUN, row).fetchall())}

    def move_runs(self, rows: Sequence[Row]) -> None:
        """Compare-and-set, in the order of MOVE_COLUMNS."""
        self.session.many(MOVE_RUNS, rows)

    def note_followers(self, run_id: str, bits: int) -> None:
        """The run has rows that follow it: see `beside`."""
        self.session.later("UPDATE flowdsl_run SET timers = ? WHERE run_id = ?", (bits, run_id))

    def insert_history(self, rows: Sequence[Row]) -> None:
        self.session.many(INSERT_HISTORY, rows)

    def request(self, run_id: str, state: int, reason: str, actor: str) -> None:
        self.session.later(
            "UPDATE flowdsl_run SET requested_state = ?, requested_reason = ?, requested_actor = ? WHERE run_id = ?",
            (state, reason, actor, run_id),
        )

    # -- pending rows ---------------------------------------------------------------------------------------------------------

    def put_rows(self, rows: Sequence[Row]) -> None:
        """Insert rows or replace those of the same id, in the order of PENDING_COLUMNS."""
        self.session.many(UPSERT_ROWS, rows)

    def drop_rows(self, row_ids: Sequence[str]) -> None:
        self.session.later_among("DELETE FROM flowdsl_pending WHERE row_id IN", row_ids)

    def fail_rows(self, rows: Sequence[Row]) -> None:
        """In: error, due, change id, row id."""
        self.session.many(
            "UPDATE flowdsl_pending SET attempts = attempts + 1, last_error = ?, owner = NULL, due = ?, mark = ?"
            " WHERE row_id = ?",
            rows,
        )

    def release_rows(self, rows: Sequence[Row]) -> None:
        """In: due (None: as it was), change id, row id."""
        self.session.many(
            "UPDATE flowdsl_pending SET owner = NULL, due = COALESCE(?, due), mark = ? WHERE row_id = ?",
            rows,
        )

    def park_rows(self, rows: Sequence[Row]) -> None:
        """In: change id, row id."""
        self.session.many("UPDATE flowdsl_pending SET owner = NULL, due = NULL, mark = ? WHERE row_id = ?", rows)

    # -- items ----------------------------------------------------------------------------------------------------------------

    def insert_item(self, row: Row) -> bool:
        """False: the key is taken. In: namespace, kind, key, body, due, created, change id."""
        return self.session.run(f"{INSERT_ITEM} ON CONFLICT DO NOTHING", row) > 0

    def replace_item(self, row: Row) -> None:
        self.session.later(
            f"{INSERT_ITEM} ON CONFLICT (namespace, kind, item_key) DO UPDATE SET body = excluded.body, due = excluded.due,"
            " created = excluded.created, change_id = excluded.change_id",
            row,
        )

    def item(self, namespace: str, kind: str, key: str) -> tuple[bytes, str] | None:
        """Body and change id."""
        row = self.session.one(
            "SELECT body, change_id FROM flowdsl_item WHERE namespace = ? AND kind = ? AND item_key = ?", (namespace, kind, key)
        )
        return None if row is None else (bytes(row[0]), row[1])

    def drop_item(self, namespace: str, kind: str, key: str, due_by: int | None = None) -> None:
        sql = "DELETE FROM flowdsl_item WHERE namespace = ? AND kind = ? AND item_key = ?"
        if due_by is None:
            self.session.later(sql, (namespace, kind, key))
        else:
            self.session.later(f"{sql} AND due <= ?", (namespace, kind, key, due_by))


INSERT_ITEM = "INSERT INTO flowdsl_item (namespace, kind, item_key, body, due, created, change_id) VALUES (?, ?, ?, ?, ?, ?, ?)"
