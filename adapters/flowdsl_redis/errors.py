"""What goes wrong between us and Redis, in one place."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from redis.exceptions import RedisError

from flowdsl.errors import FlowError, RoleSchedulerError, StreamerError

REMEDY = "Check that the server runs and that URL, user and password are right; it is tried again by itself."


@contextmanager
def translated(shown: str, doing: str, error_type: type[StreamerError] | type[RoleSchedulerError]) -> Generator[None]:
    """Errors of the driver and of the sockets below become `error_type`. In: the URL without its password."""
    try:
        yield
    except FlowError:
        raise
    except (RedisError, OSError) as error:
        text = " ".join(str(error).split())
        raise error_type(f"{doing} at {shown} failed: {type(error).__name__}: {text}", remedy=REMEDY) from error
