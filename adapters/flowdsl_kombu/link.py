"""A link: one connection and channel, used by one thread at a time, made again when it is broken."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

from kombu.connection import Connection

from flowdsl.errors import ConfigurationError
from flowdsl_kombu.errors import translated
from flowdsl_kombu.traits import Traits

log = logging.getLogger("flowdsl.kombu")
CONNECT_TIMEOUT = 5


class Link:
    """In: kombu's URL, the transport's traits; `opened` is called with each new channel, to set it up."""

    def __init__(
        self, url: str, traits: Traits, options: dict[str, Any], opened: Callable[[Any], None], *, heartbeat: bool
    ) -> None:
        self._url = url
        self._options = {**traits.options, **options}
        self._heartbeat = traits.heartbeat if heartbeat else 0
        self._opened = opened
        self._pid = os.getpid()
        self._channel: Any = None
        self.connection = self._new()

    def _new(self) -> Connection:
        try:
            return Connection(
                self._url, connect_timeout=CONNECT_TIMEOUT, heartbeat=self._heartbeat, transport_options=dict(self._options)
            )
        except TypeError as error:  # kombu takes a URL's query for arguments of its own, and says this of any other
            raise ConfigurationError(
                f"the query of a URL that begins with {self._url.partition('://')[0]}:// has no option {str(error).split()[-1]}.",
                remedy="Options are prefix and, for RabbitMQ, expires (seconds).",
            ) from None

    @property
    def open(self) -> bool:
        return self._channel is not None and self._pid == os.getpid()

    def channel(self) -> Any:
        """The channel, connected. Raises StreamerError."""
        if self._pid != os.getpid():  # a forked child must not write to its parent's socket
            self._pid, self._channel, self.connection = os.getpid(), None, self._new()
        if self._channel is None:
            with translated(self.connection, "connecting"):
                try:
                    self.connection.connect()
                    channel = self.connection.channel()
                    self._opened(channel)
                    self._channel = channel
                except BaseException:
                    self.drop()
                    raise
        return self._channel

    def beat(self) -> None:
        """Answer and check heartbeats; to be called now and then by whoever uses the link."""
        if self._heartbeat and self._channel is not None:
            self.connection.heartbeat_check()

    def drop(self) -> None:
        """Let go of a connection that is broken, without asking it for anything."""
        self._channel = None
        if self._pid == os.getpid():
            try:
                self.connection.collect(socket_timeout=0.1)
            except Exception as error:  # it is broken already, in ways that depend on the transport
                log.debug("a broken connection: %s", type(error).__name__)
        self.connection = self._new()

    def close(self) -> None:
        """Close in order: what was fetched and not acknowledged goes back. The channel goes with its connection: closed by
        itself, it has the AMQP client complain of each message that is still on its way."""
        self._channel = None
        if self._pid != os.getpid():
            return
        try:
            self.connection.release()
        except Exception as error:  # the broker gives back what the socket held, however it ended
            log.debug("closing a connection failed: %s", type(error).__name__)
