"""A bare commit: a transaction that changes one row, the least that any durable step can cost."""

from __future__ import annotations

import time

from benchmarks import redis_limit
from benchmarks.connection import open_driver

COUNT = 60


def times_ms(kind: str, url: str, count: int = COUNT) -> list[float]:
    """Times of `count` transactions, in milliseconds; none for memory."""
    if kind == "memory":
        return []
    if kind == "redis":
        return redis_limit.commit_ms(url, count)
    mark = "?" if kind == "sqlite" else "%s"
    names = "namespace, kind, item_key, body, created, change_id"
    times: list[float] = []
    with open_driver(url) as driver:
        cursor = driver.cursor()
        cursor.execute(f"INSERT INTO flowdsl_item ({names}) VALUES ({', '.join([mark] * 6)})", ("b", "b", "b", b"", 0, "b"))
        driver.commit()
        for number in range(count):
            began = time.perf_counter()
            cursor.execute(f"UPDATE flowdsl_item SET created = {mark} WHERE namespace = 'b'", (number + 1,))
            driver.commit()
            times.append((time.perf_counter() - began) * 1000)
        cursor.execute("DELETE FROM flowdsl_item WHERE namespace = 'b'")
        driver.commit()
    return times
