"""From a URL to a client of etcd's JSON gateway, one for each process."""

from __future__ import annotations

import os
import threading
from urllib.parse import parse_qsl, urlsplit

import requests
from etcd3gw.client import Etcd3Client

from flowdsl.errors import ConfigurationError

TIMEOUT = 5
"""Seconds that etcd has for an answer."""
PORT = 2379
OPTIONS = ("prefix", "ca", "cert", "key")


class Link:
    """In: etcd://host:port or etcds://host:port (TLS); the query's `ca`, `cert` and `key` name PEM files. Raises
    ConfigurationError."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.options = dict(parse_qsl(parts.query))
        try:
            self._port = parts.port or PORT
        except ValueError:
            raise ConfigurationError("the port of the etcd URL is no number.", remedy="Write e.g. etcd://host:2379.") from None
        self._host = parts.hostname or "127.0.0.1"
        self._protocol = "https" if parts.scheme == "etcds" else "http"
        self.shown = f"{parts.scheme}://{self._host}:{self._port}"
        if unknown := self.options.keys() - set(OPTIONS):
            raise ConfigurationError(
                f"{self.shown} has no option {', '.join(sorted(unknown))}.", remedy=f"One of {', '.join(OPTIONS)}."
            )
        if parts.username or parts.password:
            raise ConfigurationError(
                "etcd's users and passwords are not spoken here.",
                remedy="Use TLS with client certificates: etcds://host:2379?ca=ca.pem&cert=client.pem&key=client-key.pem.",
            )
        self._lock = threading.Lock()
        self._pid = 0
        self._client: Etcd3Client | None = None
        self._session: requests.Session | None = None

    def client(self) -> Etcd3Client:
        """The client of this process: a forked child does not write to its parent's sockets."""
        with self._lock:
            if self._client is None or self._pid != os.getpid():
                session = requests.Session()
                session.trust_env = False  # a proxy for the web is none for etcd
                if "ca" in self.options:
                    session.verify = self.options["ca"]
                if "cert" in self.options:
                    session.cert = (self.options["cert"], self.options.get("key", self.options["cert"]))
                self._client = Etcd3Client(
                    self._host, self._port, self._protocol, timeout=TIMEOUT, api_path="/v3/", session=session
                )
                self._session, self._pid = session, os.getpid()
            return self._client

    def close(self) -> None:
        with self._lock:
            if self._session is not None and self._pid == os.getpid():
                self._session.close()
            self._client = self._session = None
