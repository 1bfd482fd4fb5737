"""What goes wrong between us and etcd, in one place."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import requests
from etcd3gw.exceptions import Etcd3Exception

from flowdsl.errors import FlowError, RoleSchedulerError


@contextmanager
def translated(shown: str, doing: str) -> Generator[None]:
    """Errors of the client, of HTTP and of the sockets below become RoleSchedulerError."""
    try:
        yield
    except FlowError:
        raise
    except (Etcd3Exception, requests.RequestException, OSError, ValueError, KeyError) as error:
        text = " ".join(str(getattr(error, "detail_text", None) or error).split())[:300]
        raise RoleSchedulerError(
            f"{doing} at {shown} failed: {type(error).__name__}: {text}",
            remedy="Check that etcd runs and that the URL is right; it is tried again by itself.",
        ) from error
