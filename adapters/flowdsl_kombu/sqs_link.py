"""SQS: the client that kombu's transport makes, and what its errors mean."""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from kombu.connection import Connection

from flowdsl.errors import ConfigurationError, StreamerError
from flowdsl_kombu.address import Address
from flowdsl_kombu.errors import MessageRefusedError, QueueGoneError

CLIENT = {"connect_timeout": 5, "read_timeout": 30, "retries": {"total_max_attempts": 2}}
GONE = frozenset({"NonExistentQueue", "QueueDoesNotExist"})
REFUSED = frozenset({"BatchRequestTooLong", "InvalidMessageContents", "InvalidParameterValue"})
"""Codes without their beginning, of both protocols that clients of SQS have spoken."""
YES, NO = ("yes", "true", "1"), ("no", "false", "0")
LONGEST_VISIBILITY = 12 * 3600
"""SQS's own limit, in seconds."""


class SqsLink:
    """In: a URL's address. Raises ConfigurationError, and ImportError where boto3 is missing."""

    def __init__(self, address: Address) -> None:
        importlib.import_module("boto3")  # kombu looks for it when it connects, which is too late to say what to install
        address.known("region", "visibility", "tls")
        self.visibility = _visibility(address.options.get("visibility", "60"))
        """How long what a reader has taken, and neither acknowledged nor given back, is kept from others."""
        region = address.options.get("region", "")
        self.shown = address.host or f"SQS {region}".strip()
        """As people may see it: without keys."""
        secure = address.choice("tls", YES, NO, default=address.port is None)
        transport: dict[str, Any] = {"is_secure": secure, "client-config": CLIENT}
        if region:
            transport["region"] = region
        # kombu lists the queues with this prefix whenever it makes a client: for a use of its own: there need be none
        transport["queue_name_prefix"] = "flowdsl-none-"
        self._connection = Connection(address.url, transport_options=transport)
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._client: Any = None
        self._closed = False

    def client(self) -> Any:
        """boto3's client, which is safe for threads; a forked child gets its own. Raises StreamerError."""
        with self._lock:
            if self._closed:
                raise StreamerError("the streamer is closed.")
            if self._client is None or self._pid != os.getpid():
                with self.translated("connecting"):
                    self._client = self._connection.clone().channel().sqs()
                self._pid = os.getpid()
            return self._client

    @contextmanager
    def translated(self, doing: str) -> Generator[None]:
        """Errors of boto3 and of the sockets below become StreamerError, or one of its two kinds that callers tell apart."""
        from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

        try:
            yield
        except StreamerError:
            raise
        except (BotoCoreError, ClientError, OSError, ValueError) as error:  # ValueError: of a host that is none
            text = " ".join(str(error).split()).rstrip(".")
            answer = getattr(error, "response", None) or {}
            code = str(answer.get("Error", {}).get("Code", "")).rpartition(".")[2]
            kind = QueueGoneError if code in GONE else MessageRefusedError if code in REFUSED else StreamerError
            raise kind(
                f"{doing} at {self.shown} failed: {type(error).__name__}: {text}.",
                remedy="Check endpoint, region and credentials; it is tried again by itself.",
            ) from error

    def close(self) -> None:
        with self._lock:
            self._closed = True
            client, self._client = self._client, None
        if client is not None and self._pid == os.getpid():
            client.close()
        self._connection.release()


def _visibility(text: str) -> timedelta:
    if not (text.isascii() and text.isdigit()) or not 0 < int(text[:9]) <= LONGEST_VISIBILITY:
        raise ConfigurationError(
            f"visibility={text!r} is no number of seconds that SQS takes.", remedy=f"Write 1 to {LONGEST_VISIBILITY}."
        )
    return timedelta(seconds=int(text))
