"""MariaDB and MySQL: the driver puts values into the statement on this side, so a batch is one long statement."""

from __future__ import annotations

from collections.abc import Sequence

from flowdsl_sql.database import Row
from flowdsl_sql.writer import (
    INSERT_HISTORY,
    INSERT_ITEM,
    KEPT_WHEN_NULL,
    MOVE_COLUMNS,
    PENDING_COLUMNS,
    RUN_COLUMNS,
    Writer,
    names,
)

INSERT_RUNS = (
    f"INSERT INTO flowdsl_run ({names(RUN_COLUMNS)}) VALUES ({', '.join('?' * len(RUN_COLUMNS))})"
    " ON DUPLICATE KEY UPDATE flowdsl_run.run_id = flowdsl_run.run_id"
)
UPSERT_ROWS = (
    f"INSERT INTO flowdsl_pending ({names(PENDING_COLUMNS)}) VALUES ({', '.join('?' * len(PENDING_COLUMNS))})"
    " ON DUPLICATE KEY UPDATE " + ", ".join(f"{name} = VALUES({name})" for name, _ in PENDING_COLUMNS[1:])
)
FIRST = "SELECT " + ", ".join(f"? AS {name}" for name, _ in MOVE_COLUMNS)
NEXT = "SELECT " + ", ".join("?" * len(MOVE_COLUMNS))
MOVE_RUNS = (
    "UPDATE flowdsl_run r JOIN ({values}) v ON r.run_id = v.run_id AND r.version = v.version"
    " SET r.version = r.version + 1, r.requested_state = NULL, r.requested_reason = NULL, r.requested_actor = NULL, "
    + ", ".join(
        f"r.{name} = COALESCE(v.{name}, r.{name})" if name in KEPT_WHEN_NULL else f"r.{name} = v.{name}"
        for name, _ in MOVE_COLUMNS[:-2]
    )
)
CHANGE_ID = [name for name, _ in RUN_COLUMNS].index("change_id")
MOVE_CHUNK = 100
DUPLICATE_KEY = 1062


class MySQLWriter(Writer):
    """Long statements; what was inserted is read back."""

    def insert_runs(self, rows: Sequence[Row]) -> set[str]:
        session = self.session
        session.many(INSERT_RUNS, rows)
        mine = {row[0]: row[CHANGE_ID] for row in rows}
        found = session.among("SELECT run_id, change_id FROM flowdsl_run WHERE run_id IN", list(mine))
        return {run_id for run_id, change_id in found if mine[run_id] == change_id}

    def move_runs(self, rows: Sequence[Row]) -> None:
        for begin in range(0, len(rows), MOVE_CHUNK):
            part = rows[begin : begin + MOVE_CHUNK]
            values = " UNION ALL ".join([FIRST, *[NEXT] * (len(part) - 1)])
            self.session.later(MOVE_RUNS.format(values=values), [value for row in part for value in row])

    def insert_history(self, rows: Sequence[Row]) -> None:
        self.session.many(INSERT_HISTORY, rows)

    def put_rows(self, rows: Sequence[Row]) -> None:
        self.session.many(UPSERT_ROWS, rows)

    def insert_item(self, row: Row) -> bool:
        try:
            self.session.run(INSERT_ITEM, row)
        except Exception as error:
            if error.args[:1] == (DUPLICATE_KEY,):  # undoes the statement, not the transaction
                return False
            raise
        return True

    def replace_item(self, row: Row) -> None:
        self.session.later(
            f"{INSERT_ITEM} ON DUPLICATE KEY UPDATE body = VALUES(body), due = VALUES(due), created = VALUES(created),"
            " change_id = VALUES(change_id)",
            row,
        )
