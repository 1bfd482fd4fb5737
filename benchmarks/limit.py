"""The limit: what one correct hand-written engine could do at most on one connection.

Per transition it needs four row writes: a compare-and-set UPDATE of the run, an INSERT of history, an INSERT of the next row
and a DELETE of the settled one; 100 transitions a transaction, on the library's own tables with their indexes, in the fastest form the
driver has. Nothing else is done: no step, no encoding, no claim.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy

BATCH = 100
SECONDS = 2.0
RUNS = 1000

RUN = (
    "run_id, namespace, workflow, foreign_id, status, state, version, visit, payload, created, updated, change_id, "
    "auto_resumes, timers, priority"
)
HISTORY = "run_id, version, from_status, to_status, from_state, to_state, cause, name, actor, attempt, change_id, at"
ROW = (
    "row_id, namespace, workflow, topic, kind, receiver, run_id, version, visit, due, created, priority, "
    "delivery, attempts, lapses"
)
PAYLOAD = b"x" * 200


def transitions_per_second(kind: str, url: str) -> float:
    """The limit of a store, in transitions per second."""
    return _memory() if kind == "memory" else max(_sql(url, form) for form in FORMS[kind])


def bare_commit_ms(kind: str, url: str, count: int = 60) -> float:
    """The median time of a transaction that changes one row, in milliseconds."""
    if kind == "memory":
        return 0.0
    engine = sqlalchemy.create_engine(url)
    times = []
    with engine.connect() as connection:
        driver = _driver(connection, kind)
        cursor = driver.cursor()
        mark = "?" if kind == "sqlite" else "%s"
        names = "namespace, kind, item_key, body, created, change_id"
        cursor.execute(f"INSERT INTO flowdsl_item ({names}) VALUES ({', '.join([mark] * 6)})", ("b", "b", "b", b"", 0, "b"))
        driver.commit()
        for number in range(count):
            began = time.perf_counter()
            cursor.execute(f"UPDATE flowdsl_item SET created = {mark} WHERE namespace = 'b'", (number,))
            driver.commit()
            times.append(time.perf_counter() - began)
    engine.dispose()
    return sorted(times)[len(times) // 2] * 1000


Turn = Callable[[Any, int, Sequence[str]], None]


def _driver(connection: sqlalchemy.Connection, kind: str) -> Any:
    if kind == "sqlite":
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        connection.exec_driver_sql("PRAGMA synchronous=FULL")
        connection.commit()
    return connection.connection.dbapi_connection


def _sql(url: str, turn: Turn) -> float:
    kind = sqlalchemy.make_url(url).get_backend_name()
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        driver = _driver(connection, kind)
        cursor = driver.cursor()
        ids = [f"limit-{number:032d}" for number in range(RUNS)]
        _fill(cursor, kind, ids)
        driver.commit()
        done, version, began = 0, 1, time.perf_counter()
        while time.perf_counter() - began < SECONDS:
            for start in range(0, RUNS, BATCH):
                turn(cursor, version, ids[start : start + BATCH])
                driver.commit()
                done += BATCH
            version += 1
        elapsed = time.perf_counter() - began
        for table in ("run", "history", "pending"):
            cursor.execute(f"DELETE FROM flowdsl_{table}")
        driver.commit()
    engine.dispose()
    return done / elapsed


def _marks(kind: str, count: int) -> str:
    return ", ".join(["?" if kind == "sqlite" else "%s"] * count)


def _fill(cursor: Any, kind: str, ids: Sequence[str]) -> None:
    runs = [(i, "limit", "bench", i, "s", 1, 1, 1, PAYLOAD, 0, 0, "c", 0, 0, 0) for i in ids]
    cursor.executemany(f"INSERT INTO flowdsl_run ({RUN}) VALUES ({_marks(kind, 15)})", runs)
    cursor.executemany(f"INSERT INTO flowdsl_pending ({ROW}) VALUES ({_marks(kind, 15)})", [_row(i, 1) for i in ids])


def _row(run_id: str, version: int) -> tuple[object, ...]:
    return (f"{run_id}/{version}", "limit", "bench", f"bench/{version % 3}", 0, "", run_id, version, 1, 0, 0, 0, 0, 0, 0)


def _past(run_id: str, version: int) -> tuple[object, ...]:
    return (run_id, version + 1, "s", "t", 2, 2, "step", "step", "worker", 1, f"change-{version}", 0)


SET = "status = {0}, state = 2, version = version + 1, payload = {0}, updated = {0}, change_id = {0}"


def _one_by_one(kind: str) -> Turn:
    """executemany: psycopg sends it as a pipeline, sqlite3 loops in C."""
    mark = "?" if kind == "sqlite" else "%s"
    update = f"UPDATE flowdsl_run SET {SET.format(mark)} WHERE run_id = {mark} AND version = {mark}"
    history = f"INSERT INTO flowdsl_history ({HISTORY}) VALUES ({_marks(kind, 12)})"
    row = f"INSERT INTO flowdsl_pending ({ROW}) VALUES ({_marks(kind, 15)})"
    settle = f"DELETE FROM flowdsl_pending WHERE row_id = {mark}"

    def turn(cursor: Any, version: int, ids: Sequence[str]) -> None:
        cursor.executemany(update, [("t", PAYLOAD, version, f"change-{version}", i, version) for i in ids])
        cursor.executemany(history, [_past(i, version) for i in ids])
        cursor.executemany(row, [_row(i, version + 1) for i in ids])
        cursor.executemany(settle, [(f"{i}/{version}",) for i in ids])

    return turn


def _postgresql_sets(cursor: Any, version: int, ids: Sequence[str]) -> None:
    """One statement per table, the rows as arrays."""
    many = list(ids)
    cursor.execute(
        "UPDATE flowdsl_run r SET status = 't', state = 2, version = r.version + 1, payload = n.p, updated = %s, change_id = n.c "
        "FROM unnest(%s::text[], %s::bytea[], %s::text[]) AS n(i, p, c) WHERE r.run_id = n.i AND r.version = %s",
        (version, many, [PAYLOAD] * len(many), [f"change-{version}"] * len(many), version),
    )
    cursor.execute(
        f"INSERT INTO flowdsl_history ({HISTORY}) "
        "SELECT i, %s, 's', 't', 2, 2, 'step', 'step', 'worker', 1, %s, 0 FROM unnest(%s::text[]) AS n(i)",
        (version + 1, f"change-{version}", many),
    )
    cursor.execute(
        f"INSERT INTO flowdsl_pending ({ROW}) "
        "SELECT i || %s, 'limit', 'bench', %s, 0, '', i, %s, 1, 0, 0, 0, 0, 0, 0 FROM unnest(%s::text[]) AS n(i)",
        (f"/{version + 1}", f"bench/{(version + 1) % 3}", version + 1, many),
    )
    cursor.execute("DELETE FROM flowdsl_pending WHERE row_id = ANY(%s)", ([f"{i}/{version}" for i in many],))


def _mysql_sets(cursor: Any, version: int, ids: Sequence[str]) -> None:
    """Multi-row INSERTs, a join for the UPDATE, a list for the DELETE."""
    derived = " UNION ALL ".join(["SELECT %s AS i, %s AS p, %s AS c"] * len(ids))
    values: list[object] = [version]
    for i in ids:
        values += [i, PAYLOAD, f"change-{version}"]
    cursor.execute(
        f"UPDATE flowdsl_run r JOIN ({derived}) n ON r.run_id = n.i SET r.status = 't', r.state = 2, r.version = r.version + 1, "
        "r.payload = n.p, r.change_id = n.c, r.updated = 0 WHERE r.version = %s",
        [*values[1:], version],
    )
    cursor.executemany(
        f"INSERT INTO flowdsl_history ({HISTORY}) VALUES ({_marks('mysql', 12)})", [_past(i, version) for i in ids]
    )
    cursor.executemany(f"INSERT INTO flowdsl_pending ({ROW}) VALUES ({_marks('mysql', 15)})", [_row(i, version + 1) for i in ids])
    cursor.execute(f"DELETE FROM flowdsl_pending WHERE row_id IN ({_marks('mysql', len(ids))})", [f"{i}/{version}" for i in ids])


FORMS: dict[str, list[Turn]] = {
    "sqlite": [_one_by_one("sqlite")],
    "postgresql": [_one_by_one("postgresql"), _postgresql_sets],
    "mysql": [_mysql_sets],
}


def _memory() -> float:
    """The same four operations on dictionaries, under a lock."""
    lock = threading.Lock()
    ids = [str(number) for number in range(RUNS)]
    runs = dict.fromkeys(ids, (1, PAYLOAD))
    rows = {f"{i}/1": i for i in ids}
    history: list[tuple[object, ...]] = []
    done, version, began = 0, 1, time.perf_counter()
    while time.perf_counter() - began < SECONDS / 2:
        for i in ids:
            with lock:
                if runs[i][0] == version:
                    runs[i] = (version + 1, PAYLOAD)
                    history.append(_past(i, version))
                    rows[f"{i}/{version + 1}"] = i
                    del rows[f"{i}/{version}"]
            done += 1
        version += 1
    return done / (time.perf_counter() - began)
