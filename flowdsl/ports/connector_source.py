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
        """Up to `limit` events, waiting at most `timeout` for the first."""

    @abstractmethod
    def acknowledge(self, events: Sequence[ConnectorEvent]) -> None:
        """These are done; what was not acknowledged comes again to the next reader of the name."""

    @abstractmethod
    def close(self) -> None:
        """Stop reading."""


class ConnectorSource(Protocol):
    """Somewhere events come from."""

    @abstractmethod
    def open(self, name: str) -> ConnectorReader:
        """A reader that goes on where the name was left."""
