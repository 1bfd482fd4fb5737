"""The event streamer: topics and named receivers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from datetime import timedelta
from enum import Enum
from typing import Protocol

from flowdsl.model.event import Event
from flowdsl.model.pending import TopicQuota


class StartFrom(Enum):
    """Where a receiver name begins that has no place yet."""

    OLDEST = "oldest"
    """At the oldest event that is kept: for a log the start, for a queue its declaration."""
    NOW = "now"


class EventReceiver(Protocol):
    """One reader under a name. Readers of one name share its events. Used by one thread."""

    @abstractmethod
    def receive(self, quotas: Sequence[TopicQuota], timeout: timedelta) -> Sequence[Event]:
        """Events of the topics named in `quotas`, at most the quota of each, waiting at most `timeout` for the first.

        A topic that is not named keeps its events, however many of them the reader has fetched ahead; a quota of 0 is as good
        as none. Unacknowledged events of a reader that is gone are delivered again, to whoever reads under the name. What cannot
        be read as an event is put aside: logged, not delivered, and it does not come again. Raises StreamerError for a topic
        that the receiver was not made for, and while the broker cannot be reached; a later call reconnects by itself.
        """

    @abstractmethod
    def acknowledge(self, events: Sequence[Event]) -> None:
        """These are done: the name's place moves past them. Acknowledging twice, or after a reconnect, is harmless. What was
        published in one batch may travel together: an event of it may come again until the others are done, too."""

    @abstractmethod
    def close(self) -> None:
        """Stop reading. What was not acknowledged is delivered again."""


class EventStreamer(Protocol):
    """At-least-once delivery of small events; duplicates and any order are allowed."""

    retains_history: bool
    """True for a log, where a new name can begin at the oldest event; False for a queue, where it begins at its declaration."""

    @abstractmethod
    def publish(self, events: Sequence[Event]) -> Sequence[bool]:
        """Send a batch, wait once; True for each event that the broker confirmed, or that no receiver name is interested in.
        Used by any thread. Raises StreamerError when the broker cannot be reached: then nothing is known of any of them."""

    @abstractmethod
    def receiver(self, name: str, topics: Sequence[str], start: StartFrom = StartFrom.OLDEST) -> EventReceiver:
        """A reader of these topics. The name exists from this call on: what is published afterwards reaches it. `start` only
        matters the first time."""

    @abstractmethod
    def close(self) -> None:
        """Let go of every connection; receivers end."""
