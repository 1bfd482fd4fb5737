"""How many rows the library writes per transition, counted by triggers of the database itself."""

from __future__ import annotations

import sqlalchemy

from benchmarks.progress import completed, reach
from benchmarks.workload import STEPS, build, sample
from flowdsl import Engine

RUNS = 200
TABLES = ("run", "pending", "history", "item")
EVENTS = ("INSERT", "UPDATE", "DELETE")


def per_transition(kind: str, url: str, *, handoff: bool = True) -> float | None:
    """Rows inserted, updated and deleted per transition, triggers and claims included. None for memory and Redis. In: the URL of
    a scratch store, which keeps the triggers."""
    if kind in ("memory", "redis"):
        return None
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("CREATE TABLE counted (n BIGINT NOT NULL)")
            if kind == "postgresql":
                connection.exec_driver_sql(
                    "CREATE FUNCTION count_row() RETURNS trigger LANGUAGE plpgsql AS "
                    "$$ BEGIN INSERT INTO counted VALUES (1); RETURN NULL; END $$"
                )
            for table in TABLES:
                for event in EVENTS:
                    connection.exec_driver_sql(_trigger(kind, table, event))
            workflow = build()
            with Engine.from_url(workflow, store=url, handoff=handoff) as flow:
                flow.trigger_many(workflow, [(f"count-{number}", sample(number)) for number in range(RUNS)])
                reach(RUNS, lambda: completed(flow))
            count: int = connection.exec_driver_sql("SELECT COUNT(*) FROM counted").scalar_one()
    finally:
        engine.dispose()
    return round(count / (RUNS * STEPS), 2)


def _trigger(kind: str, table: str, event: str) -> str:
    head = f"CREATE TRIGGER count_{table}_{event} AFTER {event} ON flowdsl_{table} FOR EACH ROW"
    if kind == "postgresql":
        return f"{head} EXECUTE FUNCTION count_row()"
    body = "INSERT INTO counted VALUES (1)"
    return f"{head} BEGIN {body}; END" if kind == "sqlite" else f"{head} {body}"
