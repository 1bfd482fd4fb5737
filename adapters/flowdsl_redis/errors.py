"""What goes wrong between us and Redis, in one place."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from redis.exceptions import BusyLoadingError, ReadOnlyError, RedisError
from redis.exceptions import ConnectionError as BrokenError
from redis.exceptions import TimeoutError as SilentError

from flowdsl.errors import FlowError, RoleSchedulerError, StoreError, StoreUnavailableError, StreamerError

REMEDY = "Check that the server runs and that URL, user and password are right; it is tried again by itself."


@contextmanager
def translated(shown: str, doing: str, error_type: type[StreamerError] | type[RoleSchedulerError]) -> Generator[None]:
    """Errors of the driver and of the sockets below become `error_type`. In: the URL without its password."""
    try:
        yield
    except FlowError:
        raise
    except (RedisError, OSError) as error:
        raise error_type(f"{doing} at {shown} failed: {_text(error)}.", remedy=REMEDY) from error


PASSING = (BrokenError, SilentError, BusyLoadingError, ReadOnlyError, OSError)
"""Errors of a server that is away, starting, or not the master."""


def store_error(error: Exception, shown: str, doing: str) -> StoreError:
    """The error that the record store raises for a driver's."""
    text = f"{doing} at {shown} failed: {_text(error)}."
    if isinstance(error, PASSING) or str(error).startswith(("OOM", "MASTERDOWN", "NOREPLICAS", "BUSY", "MISCONF")):
        return StoreUnavailableError(text, remedy=REMEDY)
    return StoreError(text)


def _text(error: Exception) -> str:
    """The driver's own words."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(".: ")
