"""PostgreSQL: a batch travels as one array per column, so a statement has one text whatever the size of the batch."""

from __future__ import annotations

from collections.abc import Sequence

from flowdsl_sql.array_literal import array_literal
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
)


def _arrays(columns: Columns) -> str:
    return ", ".join(f"%s::{kind}[]" for _, kind in columns)


def literals(rows: Sequence[Row], columns: Columns) -> list[str]:
    """One array literal per column."""
    return [array_literal(kind, values) for (_, kind), values in zip(columns, zip(*rows, strict=True), strict=True)]


def plain_literals(row: Row) -> list[str | None]:
    """A literal for each value: bound as they are, numbers of different sizes would each make a statement of their own."""
    return [value if value is None or isinstance(value, str) else _plain(value) for value in row]


def _plain(value: int | bytes) -> str:
    return f"\\x{value.hex()}" if isinstance(value, bytes) else f"{value:d}"


PLACE = "CROSS JOIN LATERAL (SELECT o.ctid AS place FROM {table} o WHERE o.run_id = {row}.run_id OFFSET 0) f"
"""Finds the run of each row by its key, whatever the planner thinks: a plan is made once, often while the table is nearly empty,
and a plain join planned then reads the whole table for ever. A row that somebody changes meanwhile is not found."""
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
    + f" FROM unnest({_arrays(MOVE_COLUMNS)}) AS v({names(MOVE_COLUMNS)}) {PLACE.format(table='flowdsl_run', row='v')}"
    " WHERE r.ctid = f.place AND r.version = v.version"
)
INSERT_HISTORY = f"INSERT INTO flowdsl_history ({names(HISTORY_COLUMNS)}) SELECT * FROM unnest({_arrays(HISTORY_COLUMNS)})"
UPSERT_ROWS = (
    f"INSERT INTO flowdsl_pending ({names(PENDING_COLUMNS)}) SELECT * FROM unnest({_arrays(PENDING_COLUMNS)})"
    " ON CONFLICT (row_id) DO UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name, _ in PENDING_COLUMNS[1:])
)


class PostgreSQLWriter(Writer):
    """Arrays and `unnest`."""

    def insert_runs(self, rows: Sequence[Row]) -> set[str]:
        found = self.session.execute(INSERT_RUNS, literals(rows, RUN_COLUMNS)).fetchall()
        return {row[0] for row in found}

    def move_runs(self, rows: Sequence[Row]) -> None:
        self.session.later_as_written(MOVE_RUNS, literals(rows, MOVE_COLUMNS))

    def insert_history(self, rows: Sequence[Row]) -> None:
        self.session.later_as_written(INSERT_HISTORY, literals(rows, HISTORY_COLUMNS))

    def put_rows(self, rows: Sequence[Row]) -> None:
        self.session.later_as_written(UPSERT_ROWS, literals(rows, PENDING_COLUMNS))
