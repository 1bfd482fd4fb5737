"""The limit: what one correct hand-written engine could do at most on one connection.

Per transition it needs four row writes: a compare-and-set UPDATE of the run, an INSERT of history, an INSERT of the next row
and a DELETE of the settled one; 100 transitions a transaction, on the library's own tables with their indexes, in the fastest
form the driver has. Nothing else is done: no step, no encoding, no claim.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import String, Table

from benchmarks import redis_limit
from benchmarks.connection import open_driver
from flowdsl_sql import tables

BATCH = 100
SECONDS = 1.5
"""For each form."""
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


def _insert(table: Table, columns: str, values: str, behind: str = "") -> str:
    """An INSERT of these columns, and of whatever else the library's table cannot do without: empty or 0."""
    given = set(columns.split(", "))
    rest = [column for column in table.columns if not column.nullable and column.name not in given]
    names = ", ".join([columns, *(column.name for column in rest)])
    blanks = ["''" if isinstance(column.type, String) else "0" for column in rest]
    listed = ", ".join([values, *blanks])
    return f"INSERT INTO {table.name} ({names}) " + (f"SELECT {listed} {behind}" if behind else f"VALUES ({listed})")


Turn = Callable[[Any, int, Sequence[str]], int]
"""Writes the transitions of these runs from a version to the next; how many runs the compare-and-set met."""


def by_form(kind: str, url: str, seconds: float = SECONDS) -> dict[str, float]:
    """Transitions per second of each way to write them; the greatest is the limit. In: the URL of a scratch store."""
    if kind == "memory":
        return {"dictionaries": _memory(seconds)}
    if kind == "redis":
        return {"pipeline": redis_limit.transitions_per_s(url, seconds)}
    return {name: _sql(kind, url, turn, seconds) for name, turn in FORMS[kind].items()}


def _sql(kind: str, url: str, turn: Turn, seconds: float) -> float:
    with open_driver(url) as driver:
        cursor = driver.cursor()
        ids = [f"limit-{number:032d}" for number in range(RUNS)]
        runs = [(i, "limit", "bench", i, "s", 1, 1, 1, PAYLOAD, 0, 0, "c", 0, 0, 0) for i in ids]
        cursor.executemany(_insert(tables.run, RUN, _marks(kind, 15)), runs)
        cursor.executemany(_insert(tables.pending, ROW, _marks(kind, 15)), [_row(i, 1) for i in ids])
        driver.commit()

        def turn_all(version: int) -> int:
            for start in range(0, RUNS, BATCH):
                met = turn(driver, version, ids[start : start + BATCH])
                if met != BATCH:
                    raise RuntimeError(f"the compare-and-set met {met} of {BATCH} runs")
                driver.commit()
            return RUNS

        turn_all(1)  # statements are prepared, pages are cached
        done, version, began = 0, 2, time.perf_counter()
        while time.perf_counter() - began < seconds:
            done += turn_all(version)
            version += 1
        elapsed = time.perf_counter() - began
        for table in ("run", "history", "pending"):
            cursor.execute(f"DELETE FROM flowdsl_{table}")
        driver.commit()
    return done / elapsed


def _marks(kind: str, count: int) -> str:
    return ", ".join(["?" if kind == "sqlite" else "%s"] * count)


def _row(run_id: str, version: int) -> tuple[object, ...]:
    return (f"{run_id}/{version}", "limit", "bench", f"bench/{version % 3}", 0, "", run_id, version, 1, 0, 0, 0, 0, 0, 0)


def _past(run_id: str, version: int) -> tuple[object, ...]:
    return (run_id, version + 1, "s", "t", 2, 2, "step", "step", "worker", 1, f"change-{version}", 0)


SET = "status = {0}, state = 2, version = version + 1, payload = {0}, updated = {0}, change_id = {0}"


def _one_by_one(kind: str) -> Turn:
    """executemany: psycopg sends it as a pipeline, sqlite3 loops in C, PyMySQL makes one statement of the INSERTs."""
    mark = "?" if kind == "sqlite" else "%s"
    update = f"UPDATE flowdsl_run SET {SET.format(mark)} WHERE run_id = {mark} AND version = {mark}"
    history = _insert(tables.history, HISTORY, _marks(kind, 12))
    row = _insert(tables.pending, ROW, _marks(kind, 15))
    settle = f"DELETE FROM flowdsl_pending WHERE row_id = {mark}"

    def turn(driver: Any, version: int, ids: Sequence[str]) -> int:
        cursor = driver.cursor()
        cursor.executemany(update, [("t", PAYLOAD, version, f"change-{version}", i, version) for i in ids])
        met = int(cursor.rowcount)
        cursor.executemany(history, [_past(i, version) for i in ids])
        cursor.executemany(row, [_row(i, version + 1) for i in ids])
        cursor.executemany(settle, [(f"{i}/{version}",) for i in ids])
        return met

    return turn


def _postgresql_sets(texts: bool) -> Turn:
    """One statement per table, the rows as arrays, all four in one round trip. `texts`: the arrays are written as text here,
    instead of by the driver."""
    update = (
        "UPDATE flowdsl_run r SET status = 't', state = 2, version = r.version + 1, payload = n.p, updated = %s, change_id = n.c "
        "FROM unnest(%s::text[], %s::bytea[], %s::text[]) AS n(i, p, c) WHERE r.run_id = n.i AND r.version = %s"
    )
    each = "FROM unnest(%s::text[]) AS n(i)"
    history = _insert(tables.history, HISTORY, "i, %s, 's', 't', 2, 2, 'step', 'step', 'worker', 1, %s, 0", each)
    row = _insert(tables.pending, ROW, "i || %s, 'limit', 'bench', %s, 0, '', i, %s, 1, 0, 0, 0, 0, 0, 0", each)
    settle = "DELETE FROM flowdsl_pending WHERE row_id = ANY(%s::text[])"

    def array(values: Sequence[str | bytes]) -> Any:
        if not texts:
            return list(values)
        return "{" + ",".join([f'"\\\\x{value.hex()}"' if isinstance(value, bytes) else f'"{value}"' for value in values]) + "}"

    def turn(driver: Any, version: int, ids: Sequence[str]) -> int:
        many, change = array(ids), f"change-{version}"
        with driver.pipeline():
            moved = driver.execute(
                update, (version, many, array([PAYLOAD] * len(ids)), array([change] * len(ids)), version), prepare=True
            )
            driver.execute(history, (version + 1, change, many), prepare=True)
            driver.execute(row, (f"/{version + 1}", f"bench/{(version + 1) % 3}", version + 1, many), prepare=True)
            driver.execute(settle, (array([f"{i}/{version}" for i in ids]),), prepare=True)
        return int(moved.rowcount)

    return turn


def _mysql_sets(driver: Any, version: int, ids: Sequence[str]) -> int:
    """Multi-row INSERTs, a join with a derived table for the UPDATE, a list for the DELETE."""
    cursor = driver.cursor()
    derived = " UNION ALL ".join(["SELECT %s AS i, %s AS p, %s AS c"] * len(ids))
    values: list[object] = []
    for i in ids:
        values += [i, PAYLOAD, f"change-{version}"]
    cursor.execute(
        f"UPDATE flowdsl_run r JOIN ({derived}) n ON r.run_id = n.i SET r.status = 't', r.state = 2, r.version = r.version + 1, "
        "r.payload = n.p, r.change_id = n.c, r.updated = %s WHERE r.version = %s",
        [*values, version, version],
    )
    met = int(cursor.rowcount)
    cursor.executemany(_insert(tables.history, HISTORY, _marks("mysql", 12)), [_past(i, version) for i in ids])
    cursor.executemany(_insert(tables.pending, ROW, _marks("mysql", 15)), [_row(i, version + 1) for i in ids])
    cursor.execute(f"DELETE FROM flowdsl_pending WHERE row_id IN ({_marks('mysql', len(ids))})", [f"{i}/{version}" for i in ids])
    return met


FORMS: dict[str, dict[str, Turn]] = {
    "sqlite": {"executemany": _one_by_one("sqlite")},
    "postgresql": {
        "executemany": _one_by_one("postgresql"),
        "unnest": _postgresql_sets(texts=False),
        "unnest of texts": _postgresql_sets(texts=True),
    },
    "mysql": {"executemany": _one_by_one("mysql"), "derived table": _mysql_sets},
}


def _memory(seconds: float) -> float:
    """The same four operations on dictionaries, under a lock."""
    lock = threading.Lock()
    ids = [str(number) for number in range(RUNS)]
    runs: dict[str, tuple[int, bytes]] = dict.fromkeys(ids, (1, PAYLOAD))
    rows = {f"{i}/1": i for i in ids}
    history: list[tuple[object, ...]] = []
    done, version, began = 0, 1, time.perf_counter()
    while time.perf_counter() - began < seconds:
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
