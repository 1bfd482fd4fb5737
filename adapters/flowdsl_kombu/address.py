"""What a URL says: kombu's transport, our options, and the rest, which is kombu's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from flowdsl.errors import ConfigurationError
from flowdsl_kombu.traits import TRAITS, Traits

PREFIX = "flowdsl."
LONGEST = 4_294_967
"""Seconds: RabbitMQ takes no more milliseconds than 32 bits hold."""


@dataclass(frozen=True, repr=False)
class Address:
    transport: str
    url: str
    """For kombu, without the query. It may hold a password."""
    prefix: str
    """What every name begins with."""
    options: Mapping[str, str]
    """The query, without `prefix`."""

    @property
    def traits(self) -> Traits:
        return TRAITS[self.transport]

    @property
    def host(self) -> str:
        """host:port as people may see it; empty when the URL names no host."""
        return urlsplit(self.url).netloc.rpartition("@")[2]

    @property
    def port(self) -> int | None:
        return urlsplit(self.url).port

    def known(self, *names: str) -> None:
        """Raises ConfigurationError for an option that is not among these."""
        if unknown := sorted(self.options.keys() - set(names)):
            raise ConfigurationError(
                f"{self.transport} has no option {', '.join(unknown)}.", remedy=f"One of {', '.join(sorted([*names, 'prefix']))}."
            )

    def choice(self, name: str, yes: Sequence[str], no: Sequence[str], default: bool) -> bool:
        """An option that is one of two. Raises ConfigurationError."""
        text = self.options.get(name)
        if text is None:
            return default
        if text.lower() not in (*yes, *no):
            raise ConfigurationError(f"{name}={text!r} is no choice.", remedy=f"Write {name}={yes[0]} or {name}={no[0]}.")
        return text.lower() in yes

    def seconds(self, name: str) -> float | None:
        """An option that is a time; None where it is left out. Raises ConfigurationError."""
        text = self.options.get(name)
        if text is None:
            return None
        try:
            found = float(text)
        except ValueError:
            found = 0.0
        if not 0 < found <= LONGEST:
            raise ConfigurationError(
                f"{name}={text!r} is no number of seconds up to {LONGEST:,}.", remedy=f"Write e.g. {name}=600."
            )
        return found


def parse(url: str) -> Address:
    """In: a URL of a transport that `TRAITS` knows, alone or after kombu+. Raises ConfigurationError, which shows no password."""
    head, _, query = url.partition("?")
    scheme, _, rest = head.partition("://")
    transport = scheme.partition("+")[2] or scheme
    if transport not in TRAITS:
        raise ConfigurationError(
            f"there is no kombu transport {transport!r} that flowdsl knows.", remedy=f"One of {', '.join(sorted(TRAITS))}."
        )
    _check(f"{transport}://{rest}")
    options = dict(parse_qsl(query))
    return Address(transport, f"{transport}://{rest}", options.pop("prefix", PREFIX), options)


def _check(url: str) -> None:
    """A password with a bare / or ? in it cuts the URL short there: what comes before it looks like a host and its port, and
    what complains of that would show it."""
    try:
        parts = urlsplit(url)
        cut = "@" not in parts.netloc and "@" in url
        _ = parts.port
    except ValueError:
        cut = True
    if cut:
        raise ConfigurationError(
            f"the URL that begins with {url.partition('://')[0]}:// has no host and port that can be read.",
            remedy="Write special characters of user and password as %XX: %2F for /, %3F for ?, %23 for #, %40 for @, %3A for :.",
        ) from None
