"""PostgreSQL: a batch travels as one array per column, so a statement has one text whatever the size of the batch."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from flowdsl_sql.database import Row
from flowdsl_sql.writer import (
    HISTORY_COLUMNS,
    KEPT_WHEN_NULL,
    MOVE_COLUMNS,
    PENDING_COLUMNS,
    RUN_COLUMNS,
    Columns,
    Writer,
    names,
    transposed,
)

CHANNEL = "flowdsl"
MAX_NOTE = 7000
"""Bytes of a notification; the server takes fewer than 8000."""


def _arrays(columns: Columns) -> str:
    # bytes travel as they are (%b), not as hexadecimal text
    return ", ".join(f"{'%b' if kind == 'bytea' else '%s'}::{kind}[]" for _, kind in columns)


INSERT_RUNS = (
    f"INSERT INTO flowdsl_run ({names(RUN_COLUMNS)}) SELECT * FROM unnest({_arrays(RUN_COLUMNS)})"
    " ON CONFLICT DO NOTHING RETURNING run_id"
)
MOVE_RUNS = (
    "UPDATE flowdsl_run r SET version = r.version + 1, requested_state = NULL, requested_reason = NULL, requested_actor = NULL, "
    + ", ".join(
        f"{name} = COALESCE(v.{name}, r.{name})" if name in KEPT_WHEN_NULL else f"{name} = v.{name}"
        for name, _ in MOVE_COLUMNS[:-2]
    )
    + f" FROM unnest({_arrays(MOVE_COLUMNS)}) AS v({names(MOVE_COLUMNS)}) WHERE r.run_id = v.run_id AND r.version = v.version"
)
INSERT_HISTORY = f"INSERT INTO flowdsl_history ({names(HISTORY_COLUMNS)}) SELECT * FROM unnest({_arrays(HISTORY_COLUMNS)})"
UPSERT_ROWS = (
    f"INSERT INTO flowdsl_pending ({names(PENDING_COLUMNS)}) SELECT * FROM unnest({_arrays(PENDING_COLUMNS)})"
    " ON CONFLICT (row_id) DO UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name, _ in PENDING_COLUMNS[1:])
)


class PostgreSQLWriter(Writer):
    """Arrays and `unnest`."""

    def insert_runs(self, rows: Sequence[Row]) -> set[str]:
        cursor = self.session.cursor
        cursor.execute(INSERT_RUNS, transposed(rows))
        return {row[0] for row in cursor.fetchall()}

    def move_runs(self, rows: Sequence[Row]) -> None:
        self.session.cursor.execute(MOVE_RUNS, transposed(rows))

    def insert_history(self, rows: Sequence[Row]) -> None:
        self.session.cursor.execute(INSERT_HISTORY, transposed(rows))

    def put_rows(self, rows: Sequence[Row]) -> None:
        self.session.cursor.execute(UPSERT_ROWS, transposed(rows))

    def notify(self, wakes: set[tuple[str, str]]) -> None:
        """One notification per namespace: its name, then the topics; too many topics: the name alone, for all."""
        topics: dict[str, list[str]] = {}
        for namespace, topic in wakes:
            topics.setdefault(namespace, []).append(topic)
        for namespace, some in topics.items():
            note = msgspec.json.encode([namespace, *sorted(some)])
            if len(note) > MAX_NOTE:
                note = msgspec.json.encode([namespace])
            self.session.run("SELECT pg_notify(?, ?)", (CHANNEL, note.decode()))
