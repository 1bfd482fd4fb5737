"""Purging: finished runs that are old enough go, with their history and rows, a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from flowdsl.model.run_state import RunState
from flowdsl_sql.database import MICROSECOND, Database, Session


def purge(
    database: Database,
    namespace: str,
    workflow: str,
    states: Sequence[RunState],
    age: timedelta,
    limit: int,
    unless_waiting: Sequence[str],
) -> int:
    """As `RecordStore.purge`."""
    wanted = [int(state) for state in states if state.finished]
    if not wanted or limit < 1:
        return 0

    def work(session: Session) -> int:
        dialect = session.dialect
        marks, values = dialect.marks(len(wanted)), dialect.padded(list(wanted))
        waits = ""
        if unless_waiting:
            waits = (
                # not NOT EXISTS, for which MariaDB reads everything that waits
                " AND (SELECT 1 FROM flowdsl_pending p WHERE p.kind <> 0 AND p.run_id = flowdsl_run.run_id"
                f" AND p.topic IN {dialect.marks(len(unless_waiting))} LIMIT 1) IS NULL"
            )
            values = [*values, *dialect.padded(list(unless_waiting))]
        old = session.all(
            "SELECT run_id FROM flowdsl_run WHERE namespace = ? AND workflow = ? AND finished IS NOT NULL AND finished < ?"
            f" AND state IN {marks}{waits} ORDER BY finished LIMIT ?{dialect.skip_locked}",
            (namespace, workflow, session.now() - age // MICROSECOND, *values, limit),
        )
        run_ids = sorted(row[0] for row in old)
        session.later_among("DELETE FROM flowdsl_run WHERE run_id IN", run_ids)
        session.later_among("DELETE FROM flowdsl_history WHERE run_id IN", run_ids)
        session.later_among("DELETE FROM flowdsl_pending WHERE row_id IN", run_ids)
        session.later_among("DELETE FROM flowdsl_pending WHERE kind <> 0 AND run_id IN", run_ids)
        return len(run_ids)

    return database.write(work)
