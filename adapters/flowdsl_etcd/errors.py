"""What goes wrong between us and etcd, in one place."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import msgspec
import requests
from etcd3gw.exceptions import Etcd3Exception

from flowdsl.errors import FlowError, RoleSchedulerError


class _Answer(msgspec.Struct):
    """etcd's, when it refuses."""

    error: str


@contextmanager
def translated(shown: str, doing: str) -> Generator[None]:
    """Errors of the client, of HTTP and of the sockets below become RoleSchedulerError."""
    try:
        yield
    except FlowError:
        raise
    except (Etcd3Exception, requests.RequestException, OSError, ValueError, KeyError) as error:
        raise RoleSchedulerError(
            f"{doing} at {shown} failed: {type(error).__name__}: {_words(error)}.",
            remedy="Check that etcd runs and that the URL is right; it is tried again by itself.",
        ) from error


def _words(error: BaseException) -> str:
    text = str(getattr(error, "detail_text", None) or error)
    try:
        text = msgspec.json.decode(text, type=_Answer).error
    except (msgspec.DecodeError, UnicodeEncodeError):
        return " ".join(text.split())[:300].rstrip(".")
    return text
