"""What goes wrong between us and a broker, in one place."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from kombu.connection import Connection
from kombu.exceptions import KombuError

from flowdsl.errors import StreamerError


class ConfirmTimeoutError(StreamerError):
    """The broker did not confirm in time: nothing is known of the batch."""


class QueueGoneError(StreamerError):
    """The queue is not there, or not any more."""


class MessageRefusedError(StreamerError):
    """The broker does not take a message like this, however often it is sent."""


@contextmanager
def translated(connection: Connection, doing: str) -> Generator[None]:
    """Errors of kombu, of its transports and of the sockets below become StreamerError."""
    broker = (*connection.connection_errors, *connection.channel_errors, KombuError, OSError)
    try:
        yield
    except StreamerError:
        raise
    except broker as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise StreamerError(
            f"{doing} at {connection.as_uri()} failed: {type(error).__name__}: {text}",
            remedy="Check that the broker runs and that URL, user and password are right; it is tried again by itself.",
        ) from error
