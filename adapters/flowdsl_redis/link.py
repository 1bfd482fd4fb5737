"""From a URL to a client of the driver, and what a URL may say."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from flowdsl.errors import ConfigurationError

CONNECT_TIMEOUT = 5.0
ANSWER_TIMEOUT = 30.0
"""Seconds after which a server that does not answer is given up. Blocking reads ask for far less."""
PREFIX = "flowdsl"


class Address(NamedTuple):
    """A URL without our own options."""

    url: str
    shown: str
    """As people may see it: without the password."""
    options: Mapping[str, str]


def parse(url: str, ours: Collection[str]) -> Address:
    """In: a redis:// or rediss:// URL; the names of the query's options that are ours, the driver gets the rest."""
    parts = urlsplit(url)
    query = parse_qsl(parts.query)
    host = parts.netloc.rpartition("@")[2]
    return Address(
        urlunsplit(parts._replace(query=urlencode([(name, value) for name, value in query if name not in ours]))),
        f"{parts.scheme}://{host}{parts.path}",
        {name: value for name, value in query if name in ours},
    )


def number(address: Address, name: str, default: float | None) -> float | None:
    """An option of the URL that is a positive number. Raises ConfigurationError."""
    text = address.options.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if value <= 0:
        raise ConfigurationError(f"{name}={text!r} in {address.shown} is no positive number.", remedy=f"Write e.g. {name}=60.")
    return value


def connect(address: Address) -> Any:
    """A client with a pool of connections; nothing is connected yet, and a forked child gets connections of its own. What fails
    is not tried again in secret: a command that was sent may have been done. Raises ConfigurationError."""
    try:
        client: Any = redis.Redis.from_url(
            address.url,
            socket_connect_timeout=CONNECT_TIMEOUT,
            socket_timeout=ANSWER_TIMEOUT,
            socket_keepalive=True,
            health_check_interval=30,
            retry=Retry(NoBackoff(), 0),
            client_name="flowdsl",
        )
        client.connection_pool.connection_class(**client.connection_pool.connection_kwargs)  # an option that it does not know
        return client
    except (ValueError, TypeError) as error:
        raise ConfigurationError(
            f"the URL {address.shown} cannot be read: {error}", remedy="Write e.g. redis://user:password@host:6379/0."
        ) from None


def hash_tag(prefix: str) -> str:
    """The beginning of every key: the tag keeps all of them in one slot of a cluster, where several are used by one command."""
    return f"{{{prefix}}}:"
