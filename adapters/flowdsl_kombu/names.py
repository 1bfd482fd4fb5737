"""Which queues want a topic's events, for transports that cannot say it themselves."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol


class Names(Protocol):
    """The queues of each topic, known to every process. In: `channel` is kombu's, of the calling thread."""

    def add(self, channel: Any, prefix: str, topic: str, queue: str) -> None:
        """From now on `queue` gets the events of `topic`."""
        ...

    def of(self, channel: Any, prefix: str, topics: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """The queues of these topics."""
        ...


class MemoryNames:
    """For kombu's memory transport, whose queues are this process's."""

    _known: ClassVar[dict[str, dict[str, None]]] = {}
    _lock = threading.Lock()

    def add(self, channel: Any, prefix: str, topic: str, queue: str) -> None:
        with self._lock:
            self._known.setdefault(prefix + topic, {})[queue] = None

    def of(self, channel: Any, prefix: str, topics: Sequence[str]) -> Mapping[str, Sequence[str]]:
        with self._lock:
            return {topic: list(self._known.get(prefix + topic, ())) for topic in topics}


class RedisNames:
    """A set per topic, read in one pipeline for a whole batch."""

    def add(self, channel: Any, prefix: str, topic: str, queue: str) -> None:
        channel.client.sadd(self._key(prefix, topic), queue)

    def of(self, channel: Any, prefix: str, topics: Sequence[str]) -> Mapping[str, Sequence[str]]:
        pipeline = channel.client.pipeline(transaction=False)
        for topic in topics:
            pipeline.smembers(self._key(prefix, topic))
        return {topic: sorted(_text(name) for name in found) for topic, found in zip(topics, pipeline.execute(), strict=True)}

    def _key(self, prefix: str, topic: str) -> str:
        return f"{prefix}queues-of:{topic}"


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name
