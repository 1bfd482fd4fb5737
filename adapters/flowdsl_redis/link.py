"""From a URL to a client of the driver, and what a URL may say."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from flowdsl.errors import ConfigurationError

CONNECT_TIMEOUT = 5.0
ANSWER_TIMEOUT = 30.0
"""Seconds after which a server that does not answer is given up. Blocking reads ask for far less."""
PREFIX = "flowdsl"
MOST = 1_000_000_000
"""The greatest number that an option takes: 30 years in seconds."""


class Address(NamedTuple):
    """A URL without our own options."""

    url: str
    shown: str
    """As people may see it: without the password."""
    options: Mapping[str, str]


def parse(url: str, ours: Collection[str]) -> Address:
    """In: a redis:// or rediss:// URL; the names of the query's options that are ours, the driver gets the rest. Raises
    ConfigurationError."""
    try:
        parts = urlsplit(url)
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=parts.query != "")
        valid = parts.port != 0 and (parts.path[1:] or "0").isdecimal()
    except ValueError:
        raise unreadable(url) from None
    if not valid or parts.fragment:  # often a password with a character that has to be written otherwise
        raise unreadable(url)
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    options = {name: value for name, value in query if name in ours}
    if empty := [name for name, value in options.items() if not value]:
        raise ConfigurationError(f"{empty[0]}= in {shown} says nothing.", remedy="Give it a value, or leave it out.")
    if any(name == "decode_responses" for name, _ in query):
        raise ConfigurationError(f"decode_responses in {shown} cannot be: flowdsl stores bytes.", remedy="Leave it out.")
    rest = urlencode([(name, value) for name, value in query if name not in ours])
    return Address(urlunsplit(parts._replace(query=rest)), shown, options)


def unreadable(url: str) -> ConfigurationError:
    """The error for a URL that cannot be taken apart: wherever an "@" is in it, any part may be a password's."""
    scheme, _, rest = url.partition("://")
    place = "" if "@" in url else re.split(r"[?#]", rest)[0]
    return ConfigurationError(
        f"the URL {scheme}://{place or '...'} cannot be read.",
        remedy="Write e.g. redis://user:password@host:6379/0, and in the password %40 for @, %2F for /, %3F for ?, %23 for #.",
    )


def number(address: Address, name: str, default: float) -> float:
    """An option of the URL that is a positive number. Raises ConfigurationError."""
    text = address.options.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= MOST:  # which no NaN is
        raise ConfigurationError(
            f"{name}={text!r} in {address.shown} is no positive number up to {MOST:,}.", remedy=f"Write e.g. {name}=60."
        )
    return value


def whole_number(address: Address, name: str) -> int | None:
    """An option of the URL that is a number of things; None: it is not there. Raises ConfigurationError."""
    text = address.options.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:20]) <= MOST):
        raise ConfigurationError(
            f"{name}={text!r} in {address.shown} is no whole number from 1 to {MOST:,}.", remedy=f"Write e.g. {name}=100000."
        )
    return int(text)


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
    except (ValueError, TypeError, RedisError) as error:
        raise ConfigurationError(
            f"the URL {address.shown} cannot be read: {error}", remedy="Write e.g. redis://user:password@host:6379/0."
        ) from None


def hash_tag(prefix: str) -> str:
    """The beginning of every key: the tag keeps all of them in one slot of a cluster, where several are used by one command."""
    return f"{{{prefix}}}:"
