"""The limit on Redis: the commands that a hand-written engine needs for a transition, 100 transitions in each MULTI."""

from __future__ import annotations

import time
from typing import Any

BATCH = 100
RUNS = 1000
PAYLOAD = b"x" * 200


def transitions_per_s(url: str, seconds: float) -> float:
    """The run's hash, a history entry, the next row's hash and its place in a queue, the settled one's removal; no comparison
    and no script, so that nobody can be faster. In: the URL of a scratch store."""
    import redis

    client: Any = redis.Redis.from_url(url.partition("?")[0])
    prefix = f"{url.rpartition('=')[2]}-limit"
    began, count, version = time.perf_counter(), 0, 0
    while time.perf_counter() - began < seconds:
        version += 1
        for begin in range(0, RUNS, BATCH):
            pipeline = client.pipeline(transaction=True)
            for run in range(begin, begin + BATCH):
                pipeline.hset(f"{prefix}:run:{run}", mapping={"m": b"y" * 250, "p": PAYLOAD})
                pipeline.rpush(f"{prefix}:history:{run}", b"z" * 200)
                pipeline.hset(f"{prefix}:row:{run}", "m", b"y" * 250)
                pipeline.zadd(f"{prefix}:queue:{version % 3}", {str(run): version})
                pipeline.zrem(f"{prefix}:queue:{(version - 1) % 3}", str(run))
            pipeline.execute()
            count += BATCH
    taken = time.perf_counter() - began
    for key in client.scan_iter(f"{prefix}*", count=1000):
        client.delete(key)
    client.close()
    return count / taken


def commit_ms(url: str, count: int) -> list[float]:
    """Times of single commands that change one value, in milliseconds."""
    import redis

    client: Any = redis.Redis.from_url(url.partition("?")[0])
    name = f"{url.rpartition('=')[2]}-bare"
    times: list[float] = []
    for number in range(count):
        began = time.perf_counter()
        client.set(name, number)
        times.append((time.perf_counter() - began) * 1000)
    client.delete(name)
    client.close()
    return times
