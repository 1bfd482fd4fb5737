"""What a URL says: brokers, our options, and whatever the client is to be told."""

from __future__ import annotations

import hashlib
import re
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from flowdsl.errors import ConfigurationError

PREFIX = "flowdsl."
LONGEST = 249
"""Characters of a Kafka topic, which may be letters, digits, dots, dashes and underscores."""


class Address(NamedTuple):
    brokers: str
    prefix: str
    config: dict[str, Any]
    """Of the client: the query's options with a dot in their name."""

    @property
    def shown(self) -> str:
        """As people may see it: options may hold a password."""
        return f"kafka://{self.brokers}"

    def topic(self, topic: str) -> str:
        """The Kafka topic of one of ours."""
        full = f"{self.prefix}{topic}"
        kept = re.sub("[^A-Za-z0-9._-]", "-", full)
        if kept == full and len(full) <= LONGEST - 17:
            return full
        return f"{kept[: LONGEST - 17]}-{hashlib.sha256(full.encode()).hexdigest()[:16]}"


def parse(url: str) -> Address:
    """In: kafka://host:port,host:port/?prefix=...&security.protocol=... Raises ConfigurationError."""
    if "@" in url.partition("?")[0]:
        raise ConfigurationError(
            "Kafka's users and passwords are options of its client.",
            remedy="Write ?security.protocol=SASL_SSL&sasl.mechanism=PLAIN&sasl.username=...&sasl.password=...",
        )
    try:
        parts = urlsplit(url)
    except ValueError:  # a bracket, usually
        raise ConfigurationError("the Kafka URL cannot be read.", remedy="Write e.g. kafka://host:9092/?prefix=shop.") from None
    if not parts.netloc:
        raise ConfigurationError("the Kafka URL names no broker.", remedy="Write e.g. kafka://host:9092/?prefix=shop.")
    config: dict[str, Any] = {}
    prefix = PREFIX
    for name, value in parse_qsl(parts.query):
        if name == "prefix":
            prefix = value
        elif "." in name:
            config[name] = value
        else:
            raise ConfigurationError(
                f"kafka://{parts.netloc} has no option {name!r}.", remedy="prefix, or an option of librdkafka, which has a dot."
            )
    if re.search("[^A-Za-z0-9._-]", prefix):
        raise ConfigurationError(f"the prefix {prefix!r} cannot begin a Kafka topic.", remedy="Letters, digits, dots, dashes.")
    return Address(parts.netloc, prefix, config)
