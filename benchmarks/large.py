"""Large: what questions cost a PostgreSQL database that holds very many finished runs and waiting timers."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import sqlalchemy

from benchmarks.scratch import scratch
from flowdsl.model.instance import Instance
from flowdsl.model.pending import RowKind, TopicQuota
from flowdsl.model.query import RunQuery
from flowdsl.model.run_state import RunState
from flowdsl_sql import database
from flowdsl_sql.record_store import open_store

FINISHED, TIMERS = 1_000_000, 100_000
ASKED = 20
"""How often each question is asked; the median counts."""
NOW = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS bigint)"
RUN = (
    "INSERT INTO flowdsl_run (run_id, namespace, workflow, foreign_id, status, state, version, visit, task, payload,"
    " content_type, schema_version, created, updated, finished, change_id, auto_resumes, timers, priority)"
)
FILL = (
    f"{RUN} SELECT 'done-' || n, 'default', 'orders', 'order-' || n, 'shipped', {int(RunState.COMPLETED)}, 4, 4, 4,"
    " convert_to(repeat('x', 200), 'UTF8'), 'application/json', 1, {now} - n::bigint * 1000000,"
    " {now} - n::bigint * 1000000 + 900000, {now} - n::bigint * 1000000 + 900000, 'c-' || n, 0, 0, 0"
    " FROM generate_series(1, {finished}) n",
    "INSERT INTO flowdsl_history (run_id, version, from_status, to_status, from_state, to_state, cause, name, actor, attempt,"
    " change_id, at) SELECT 'done-' || n, v, CASE WHEN v > 1 THEN 's' || (v - 1) END, 's' || v, 2, 2, 'step', 'step', 'worker',"
    " 1, 'c-' || n || '-' || v, {now} - n::bigint * 1000000 FROM generate_series(1, {finished}) n, generate_series(1, 4) v",
    f"{RUN} SELECT 'waits-' || n, 'default', 'orders', 'waiting-' || n, 'picking', {int(RunState.RUNNING)}, 2, 2, 2,"
    " convert_to(repeat('x', 200), 'UTF8'), 'application/json', 1, {now} - n, {now} - n, NULL, 'w-' || n, 0, 1, 0"
    " FROM generate_series(1, {timers}) n",
    "INSERT INTO flowdsl_pending (row_id, namespace, workflow, topic, kind, receiver, run_id, version, visit, due, created,"
    " priority, delivery, attempts, lapses) SELECT 'waits-' || n || ':2:0', 'default', 'orders', 'orders/picking/timeout/late',"
    f" {int(RowKind.TIMEOUT)}, 'late', 'waits-' || n, 2, 2, {{now}} + 86400000000 + n::bigint * 1000000, {{now}}, 0, 0, 0, 0"
    " FROM generate_series(1, {timers}) n",
    "INSERT INTO flowdsl_pending (row_id, namespace, workflow, topic, kind, receiver, run_id, version, visit, due, created,"
    " priority, delivery, attempts, lapses) SELECT 'waits-' || n, 'default', 'orders', 'orders/picking', 0, '', 'waits-' || n, 2,"
    " 2, {now} - 1000, {now} - 1000, 0, 0, 0, 0 FROM generate_series(1, 1000) n",
    "ANALYZE",
)
Statement = tuple[str, Any]


def measure(url: str | None = None, *, finished: int = FINISHED, timers: int = TIMERS) -> dict[str, Any]:
    """Milliseconds of database time for each question, all its statements together, by EXPLAIN ANALYZE; and the plans."""
    with scratch("postgresql", url) as own:
        engine = sqlalchemy.create_engine(own, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in FILL:
                connection.exec_driver_sql(statement.format(now=NOW, finished=finished, timers=timers))
        engine.dispose()
        store = open_store(own)
        store.beat("default", Instance(owner="bench"), timedelta(hours=1))
        try:
            asked = {name: _ask(store, question) for name, question in _questions(store).items()}
        finally:
            store.close()
    slowest = max(asked, key=lambda name: asked[name][0])
    return {
        "store": "postgresql",
        "finished_runs": finished,
        "waiting_timers": timers,
        "database_ms": {name: round(milliseconds, 3) for name, (milliseconds, _) in asked.items()},
        "slowest": slowest,
        "plans": {name: plans for name, (_, plans) in asked.items()},
    }


def _questions(store: Any) -> dict[str, Callable[[], object]]:
    middle = store.lookup(["done-500"])["done-500"].created_at
    topics = ["orders/created", "orders/paid", "orders/picking", "orders/picking/timeout/late", "orders//deletion"]
    quotas = [TopicQuota(topic, 20) for topic in topics]
    first = store.runs(RunQuery(limit=25)).next
    return {
        "the first page of runs": lambda: store.runs(RunQuery(limit=25)),
        "the page after it": lambda: store.runs(RunQuery(limit=25, after=first)),
        "a page of one workflow's completed runs": lambda: store.runs(
            RunQuery(workflows=("orders",), states=(RunState.COMPLETED,), limit=25)
        ),
        "a page of all paused runs": lambda: store.runs(RunQuery(states=(RunState.PAUSED,), limit=25)),
        "a page of runs before a moment": lambda: store.runs(RunQuery(created_before=middle, limit=25)),
        "the runs of a foreign id": lambda: store.runs(RunQuery(workflows=("orders",), foreign_ids=("order-77777",), limit=25)),
        "the latest run of a foreign id": lambda: store.latest("default", "orders", "order-77777"),
        "a run, its rows and its history": lambda: (
            store.lookup(["waits-77"]),
            store.rows(["waits-77"]),
            store.history("waits-77"),
        ),
        "due work over five topics": lambda: store.claim("default", "bench", quotas),
        "when the next row is due": lambda: store.next_due("default", topics),
        "runs without their timeout": lambda: store.unattended("default", "orders", ["paid"], "", 200, RowKind.TIMEOUT),
        "old runs to purge, a hundred": lambda: store.purge(
            "default", "orders", [RunState.COMPLETED], timedelta(seconds=990_000), 100, ["orders//hook/complete/tell"]
        ),
    }


def _ask(store: Any, question: Callable[[], object]) -> tuple[float, list[str]]:
    """The median of the database's time, and the plans of the statements."""
    question()  # once for the caches of both sides
    with _overheard() as statements:
        question()
    times: list[float] = []
    plans: list[str] = []
    for number in range(ASKED):
        total = 0.0
        for sql, parameters in statements:
            plan, milliseconds = _explain(store, sql, parameters)
            total += milliseconds
            if not number:
                plans.append(plan)
        times.append(total)
    return statistics.median(times), plans


@contextmanager
def _overheard() -> Iterator[list[Statement]]:
    """The statements that sessions execute meanwhile, as the driver gets them."""
    heard: list[Statement] = []
    execute, later = database.Session.execute, database.Session.later_as_written

    def overhear(session: database.Session, sql: str, parameters: Any = None) -> Any:
        heard.append((sql, parameters))
        return execute(session, sql, parameters)

    def overhear_later(session: database.Session, sql: str, parameters: Any = None) -> None:
        heard.append((sql, parameters))
        later(session, sql, parameters)

    session: Any = database.Session
    session.execute, session.later_as_written = overhear, overhear_later
    try:
        yield heard
    finally:
        session.execute, session.later_as_written = execute, later


def _explain(store: Any, sql: str, parameters: Any) -> tuple[str, float]:
    """The plan with its times, of a statement whose work is undone again. What begins or ends a transaction costs nothing."""
    verb = sql.split(None, 1)[0].upper()
    if verb not in ("SELECT", "WITH", "UPDATE", "DELETE", "INSERT"):
        return "", 0.0
    connection = store._database.engine.raw_connection()
    try:
        cursor = connection.cursor()
        cursor.execute("BEGIN")
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS) {sql}", parameters)
        lines = [row[0] for row in cursor.fetchall()]
        cursor.execute("ROLLBACK")
    finally:
        connection.close()
    spent = sum(float(line.split(":")[1].split()[0]) for line in lines if line.startswith(("Planning Time", "Execution Time")))
    return "\n".join(lines), spent
