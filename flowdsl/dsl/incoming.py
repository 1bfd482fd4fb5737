"""The typed view of an event that a connector's function is given."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Generic, TypeVar

from flowdsl.model.event import ConnectorEvent

PayloadT = TypeVar("PayloadT")


class Incoming(Generic[PayloadT]):
    """One attempt at one event. `payload` is the body decoded to the declared type, or the bytes themselves."""

    __slots__ = ("attempt", "event", "payload")

    payload: PayloadT
    event: ConnectorEvent
    """As the source gave it."""
    attempt: int
    """1 at the first try, one more after each failure."""

    def __init__(self, event: ConnectorEvent, payload: PayloadT, attempt: int = 1) -> None:
        self.event = event
        self.payload = payload
        self.attempt = attempt

    @property
    def event_id(self) -> str:
        """Unique within the stream."""
        return self.event.event_id

    @property
    def foreign_id(self) -> str:
        """What the event is about."""
        return self.event.foreign_id

    @property
    def type(self) -> str:
        return self.event.type

    @property
    def headers(self) -> Mapping[str, str]:
        return self.event.headers

    @property
    def body(self) -> bytes:
        """As it came."""
        return self.event.body

    @property
    def created_at(self) -> datetime:
        return self.event.created_at

    def __repr__(self) -> str:
        return f"<Incoming {self.event_id!r} about {self.foreign_id!r}, attempt {self.attempt}>"
