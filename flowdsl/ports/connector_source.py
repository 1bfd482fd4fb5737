"""The connector source: events of somebody else's stream."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from flowdsl.model.event import ConnectorEvent


class ConnectorReader(Protocol):
    """One reader under a name. Used by one thread."""

    @abstractmethod
    def receive(self, limit: int, timeout: timedelta) -> Sequence[ConnectorEvent]:
        """Up to `limit` events, waiting at most `timeout` for the first.

        What was given out stays with this reader until it is acknowledged, for as long as `receive` is called at least every
        second; with a limit of 0 it is called for that alone and gives nothing. When readers come and go, some of it may be given
        to another. An event that may have been given out before is marked `redelivered` where the source can tell. What cannot be
        read as the source was told to comes with its `problem`, and is acknowledged like any other. Raises StreamerError while
        the source cannot be reached; a later call reconnects by itself, and what was given out may then come again.
        """

    @abstractmethod
    def acknowledge(self, events: Sequence[ConnectorEvent]) -> None:
        """These are done: they do not come again. Acknowledging twice, or after a reconnect, is harmless."""

    @abstractmethod
    def close(self) -> None:
        """Stop reading. What was not acknowledged comes again, to the next reader."""


class ConnectorSource(Protocol):
    """Somewhere events come from. Nothing is connected before `open`."""

    keeps_places: bool
    """True: every name has a place of its own in the stream. False: there is one place, as in a queue, whatever the name."""
    competing: bool
    """True: readers of one place share its events, each of which is with one of them at a time. False: a place should have one
    reader at a time."""

    @abstractmethod
    def open(self, name: str) -> ConnectorReader:
        """A reader that goes on where the name was left. Raises StreamerError, ConfigurationError, MissingExtraError."""
