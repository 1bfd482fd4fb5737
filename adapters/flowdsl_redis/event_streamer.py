"""The event streamer on Redis Streams."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from flowdsl.clock import Clock, SystemClock
from flowdsl.errors import StreamerError
from flowdsl.model.event import Event
from flowdsl.model.wire import encode
from flowdsl.ports.event_streamer import EventReceiver, EventStreamer, StartFrom
from flowdsl_redis.errors import translated
from flowdsl_redis.keys import FIELD, stream
from flowdsl_redis.link import PREFIX, Address, connect, number, parse, whole_number
from flowdsl_redis.receiver import RedisReceiver

CLAIM_AFTER = timedelta(seconds=60)


class RedisEventStreamer(EventStreamer):
    """A stream per topic, a consumer group per receiver name; at-least-once.

    A log that forgets what every name has acknowledged: a new name begins at the oldest event that some name still needs, or
    asked so, now. A topic that no name has ever read keeps its events: publish there only what somebody will read, or bound
    the streams (`maxlen`).

    In: where Redis is; `claim_after`: how long an event stays with a reader that neither acknowledges nor closes before
    another of the name gets it; `maxlen`: about how many events a stream keeps at most, read or not (None: no bound).
    """

    retains_history = True

    def __init__(
        self,
        address: Address,
        *,
        prefix: str = PREFIX,
        claim_after: timedelta = CLAIM_AFTER,
        maxlen: int | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._address = address
        self._prefix = prefix
        self._claim_after = claim_after
        self._maxlen = maxlen
        self._clock = clock or SystemClock()
        self._client: Any = connect(address)
        self._receivers: weakref.WeakSet[RedisReceiver] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._closed = False

    def __repr__(self) -> str:
        return f"RedisEventStreamer({self._address.shown!r})"

    def publish(self, events: Sequence[Event]) -> Sequence[bool]:
        self._check()
        if not events:
            return []
        pipeline = self._client.pipeline(transaction=False)
        for event in events:
            pipeline.xadd(stream(self._prefix, event.topic), {FIELD: encode(event)}, maxlen=self._maxlen, approximate=True)
        with translated(self._address.shown, "publishing", StreamerError):
            answers = pipeline.execute(raise_on_error=False)
        refused = [answer for answer in answers if isinstance(answer, Exception)]
        if len(refused) == len(answers):  # read-only, out of memory, no permission: it says so, and a receiver's would as well
            with translated(self._address.shown, "publishing", StreamerError):
                raise refused[0]
        return [not isinstance(answer, Exception) for answer in answers]

    def receiver(self, name: str, topics: Sequence[str], start: StartFrom = StartFrom.OLDEST) -> EventReceiver:
        self._check()
        made = RedisReceiver(
            self._client,
            self._address.shown,
            self._prefix,
            name,
            list(dict.fromkeys(topics)),
            start,
            self._claim_after,
            self._clock,
        )
        with self._lock:
            self._receivers.add(made)
        return made

    def close(self) -> None:
        self._closed = True
        with self._lock:
            receivers = list(self._receivers)
        for receiver in receivers:
            receiver.close()
        self._client.close()

    def _check(self) -> None:
        if self._closed:
            raise StreamerError("the streamer is closed.")


def open_streamer(url: str, *, clock: Clock | None = None) -> RedisEventStreamer:
    """A streamer at redis://user:password@host:port/database, or rediss:// for TLS. Options in the query that are ours: `prefix`
    of all keys (default flowdsl), `claim_after` in seconds, `maxlen`; the others go to the driver. Nothing is connected before
    the first use. Raises ConfigurationError."""
    address = parse(url, ("prefix", "claim_after", "maxlen"))
    return RedisEventStreamer(
        address,
        prefix=address.options.get("prefix", PREFIX),
        claim_after=timedelta(seconds=number(address, "claim_after", CLAIM_AFTER.total_seconds())),
        maxlen=whole_number(address, "maxlen"),
        clock=clock,
    )
