"""What a URL says: hosts, who we are, PEM files, where our keys are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from flowdsl.errors import ConfigurationError

PREFIX = "flowdsl"
PORT = 2379
FILES = ("ca", "cert", "key")
EXAMPLE = "Write e.g. etcd://user:password@host:2379,other:2379?prefix=shop."


class Address(NamedTuple):
    hosts: tuple[tuple[str, int], ...]
    secure: bool
    user: str
    """Empty: none."""
    password: str
    prefix: str
    files: Mapping[str, str]
    """Of `ca`, `cert` and `key`, those that were named."""

    @property
    def shown(self) -> str:
        """As people may see it: without user and password."""
        hosts = ",".join(f"{f'[{host}]' if ':' in host else host}:{port}" for host, port in self.hosts)
        return f"{_scheme(self.secure)}://{hosts}"

    def __repr__(self) -> str:
        return f"Address({self.shown!r})"


def parse(url: str) -> Address:
    """In: etcd://user:password@host:port,host:port?prefix=..., or etcds:// for TLS, where the query's `ca`, `cert` and `key` name
    PEM files. Raises ConfigurationError, which never shows the password."""
    scheme, _, rest = url.partition("://")
    if url.rpartition("@")[0].count("/") > 2 or any(mark in url.rpartition("@")[0] for mark in "?#"):
        raise ConfigurationError(
            "the etcd URL has an @ behind its hosts.",
            remedy="Quote what is special in a user, password or option: / is %2F, @ is %40.",
        )
    try:
        parts = urlsplit(f"etcd://{rest}")
    except ValueError:
        raise _unreadable() from None
    if parts.path.strip("/") or parts.fragment:
        raise ConfigurationError("the etcd URL goes on behind its hosts.", remedy=EXAMPLE)
    who, _, hosts = parts.netloc.rpartition("@")
    user, _, password = who.partition(":")
    secure = scheme == "etcds"
    address = Address(tuple(map(_host, hosts.split(","))), secure, unquote(user), unquote(password), PREFIX, {})
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := options.keys() - {"prefix", *FILES}:
        raise ConfigurationError(
            f"{address.shown} has no option {', '.join(sorted(unknown))}.", remedy=f"One of prefix, {', '.join(FILES)}."
        )
    prefix = options.pop("prefix", PREFIX).strip("/")
    if not prefix:
        raise ConfigurationError(f"{address.shown} has an empty prefix.", remedy="Leave it out, or name one: ?prefix=shop.")
    _check_files(address, options)
    return address._replace(prefix=prefix, files=options)


def _check_files(address: Address, files: Mapping[str, str]) -> None:
    if files and not address.secure:
        raise ConfigurationError(
            f"{address.shown} names PEM files and speaks no TLS.", remedy="Write etcds:// instead of etcd://."
        )
    if "key" in files and "cert" not in files:
        raise ConfigurationError(f"{address.shown} names a key without its certificate.", remedy="Add cert=client.pem.")
    for name, file in files.items():
        if not Path(file).is_file():
            raise ConfigurationError(f"{name}={file!r} in the URL of {address.shown} is no file.", remedy="Name a PEM file.")


def _host(text: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        return parts.hostname or "127.0.0.1", parts.port or PORT
    except ValueError:
        raise _unreadable() from None


def _unreadable() -> ConfigurationError:
    return ConfigurationError("a host or port of the etcd URL cannot be read.", remedy=EXAMPLE)


def _scheme(secure: bool) -> str:
    return "etcds" if secure else "etcd"
