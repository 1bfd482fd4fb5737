"""Messages of kombu's own transports, as they were sent."""

from __future__ import annotations

from typing import Any

from kombu.transport import virtual


class AsSent(virtual.Message):
    """A message whose body is left alone: kombu would inflate what a header calls compressed, without a limit. Whoever wants to
    do that reads bytes and does it himself, as over AMQP, where nobody does."""

    def __init__(self, payload: dict[str, Any], channel: Any = None, **more: Any) -> None:
        headers = payload.get("headers") or {}
        self._compression = headers.get("compression")
        plain = {name: value for name, value in headers.items() if name != "compression"}
        untyped: Any = super()
        untyped.__init__({**payload, "headers": plain}, channel, **more)
        self._raw = payload  # what Redis keeps until it is acknowledged
        if self._compression is not None:
            self.headers["compression"] = self._compression

    def serializable(self) -> dict[str, Any]:
        """What is given back to the queue: the same message."""
        untyped: Any = super()
        found: dict[str, Any] = untyped.serializable()
        if self._compression is not None:
            found["headers"]["compression"] = self._compression
        return found
