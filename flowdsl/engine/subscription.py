"""Reading the users' own events, that steps published with `run.publish`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType
from typing import Self
from urllib.parse import unquote

from msgspec.structs import replace

from flowdsl.model.event import Event
from flowdsl.model.pending import TopicQuota
from flowdsl.naming import user_topic
from flowdsl.ports.event_streamer import EventStreamer, StartFrom


class Subscription:
    """A reader under a name; readers of one name share its events. Every event comes at least once: its `event_id` tells copies.
    Used by one thread."""

    def __init__(self, streamer: EventStreamer, namespace: str, name: str, topics: Sequence[str], start: StartFrom) -> None:
        self._topics = {user_topic(namespace, topic): topic for topic in topics}
        self._receiver = streamer.receiver(f"user-{name}", list(self._topics), start)

    def receive(self, limit: int = 100, timeout: timedelta = timedelta(seconds=1)) -> Sequence[Event]:
        """Up to `limit` events of each topic, waiting at most `timeout` for the first. Raises StreamerError; a later call
        reconnects."""
        events = self._receiver.receive([TopicQuota(topic, limit) for topic in self._topics], timeout)
        return [replace(event, topic=self._topics.get(event.topic, unquote(event.topic))) for event in events]

    def acknowledge(self, events: Sequence[Event]) -> None:
        """These are done; what is not acknowledged comes again."""
        own = {topic: name for name, topic in self._topics.items()}
        self._receiver.acknowledge([replace(event, topic=own.get(event.topic, event.topic)) for event in events])

    def close(self) -> None:
        """Stop reading."""
        self._receiver.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
