"""The server as the record store's parts speak to it: names of keys, scripts, reads, and another try where a connection broke."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from redis.exceptions import BusyLoadingError, RedisError
from redis.exceptions import ConnectionError as BrokenError
from redis.exceptions import TimeoutError as SilentError

from flowdsl.clock import Clock
from flowdsl.errors import StoreError
from flowdsl_redis.errors import store_error
from flowdsl_redis.link import Address, connect, hash_tag
from flowdsl_redis.scripts import Scripts
from flowdsl_redis.store_encoding import to_datetime, to_micros

T = TypeVar("T")
TRIES = 3
"""How often something is tried whose connection broke: a script that was done before says so."""


class Server:
    """In: where Redis is; the prefix of all keys; a clock to use instead of the server's (tests). Errors are StoreErrors."""

    def __init__(self, address: Address, prefix: str, clock: Clock | None) -> None:
        self.shown = address.shown
        self.prefix = hash_tag(prefix).encode()
        self.client: Any = connect(address)
        self.scripts = Scripts(self.client, self.prefix)
        self._clock = clock
        self._closed = False

    def key(self, *parts: str) -> bytes:
        return self.prefix + "\0".join(parts).encode()

    def script(self, doing: str, name: str, *arguments: bytes | str | int) -> Any:
        """A script's answer. In: what is being done, for errors; the script and what it takes after the time."""
        return self.attempt(doing, lambda: self.scripts.run(name, self.moment(), *arguments))

    def read(self, doing: str, work: Callable[[Any], Any]) -> Any:
        """What `work` reads with the driver's client."""
        return self.attempt(doing, lambda: work(self.client))

    def attempt(self, doing: str, work: Callable[[], T]) -> T:
        self.check()
        for number in range(1, TRIES + 1):
            try:
                return work()
            except (BrokenError, SilentError, BusyLoadingError, OSError) as error:
                if number == TRIES:
                    raise store_error(error, self.shown, doing) from error
                time.sleep(random.uniform(0, 0.05 * number))
            except RedisError as error:
                raise store_error(error, self.shown, doing) from error
        raise AssertionError("unreachable")

    def moment(self) -> str:
        """The time as scripts take it: empty for the server's own."""
        return "" if self._clock is None else str(to_micros(self._clock.now()))

    def now(self) -> datetime:
        if self._clock is not None:
            return self._clock.now()
        seconds, micros = self.read("asking for the time", lambda client: client.time())
        return to_datetime(int(seconds) * 1_000_000 + int(micros))

    def check(self) -> None:
        if self._closed:
            raise StoreError("the store is closed.", remedy="Open a new one.")

    def close(self) -> None:
        self._closed = True
        self.client.close()
