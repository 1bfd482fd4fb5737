"""What goes wrong between us and Kafka, in one place."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from confluent_kafka import KafkaException

from flowdsl.errors import ConfigurationError, StreamerError

REMEDY = "Check that the brokers run and that address and options are right; it is tried again by itself."


@contextmanager
def translated(shown: str, doing: str) -> Generator[None]:
    """Errors of the client become StreamerError; those of its options ConfigurationError."""
    try:
        yield
    except KafkaException as error:
        raise StreamerError(f"{doing} at {shown} failed: {_text(error)}.", remedy=REMEDY) from error
    except RuntimeError as error:  # the client was closed
        raise StreamerError(f"{doing} at {shown} failed: {error}.") from error


@contextmanager
def configuring(shown: str) -> Generator[None]:
    """Errors of the client's options."""
    try:
        yield
    except KafkaException as error:
        raise ConfigurationError(f"the options of {shown} are refused: {_text(error)}.") from None


def _text(error: KafkaException) -> str:
    return " ".join(str(error.args[0].str() if error.args and hasattr(error.args[0], "str") else error).split()).rstrip(".")
