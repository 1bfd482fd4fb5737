"""Speaking to etcd's JSON gateway: whichever host answers, as the user that the URL names."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import requests
from etcd3gw.client import Etcd3Client
from etcd3gw.exceptions import ConnectionFailedError, ConnectionTimeoutError, Etcd3Exception

from flowdsl_etcd.address import Address

T = TypeVar("T")
CONNECT_TIMEOUT = 2.0
"""Seconds that a host has to take a connection."""
ANSWER_TIMEOUT = 5.0
"""Seconds that it has for an answer."""
STALE = ("invalid auth token", "revision of auth store is old", "user name is empty")
"""etcd's words for a token that it no longer takes: it has run out, or etcd was started again, or its users were changed."""
NO_USERS = "authentication is not enabled"


class Link:
    """Safe for threads; a forked child has a session and a token of its own."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._guard = threading.Lock()
        self._pid = 0
        self._session: requests.Session | None = None
        self._clients: list[Etcd3Client] = []
        self._at = 0
        """The host that answered last."""

    def call(self, work: Callable[[Etcd3Client], T]) -> T:
        """Do something at the host that answered last, or at the next that answers. `work` may run several times, also when etcd
        has done it and the answer was lost. Raises the client's errors."""
        clients, first = self._ready(), self._at
        for number in range(first, first + len(clients)):
            place = number % len(clients)
            try:
                answer = self._as_user(clients[place], work)
            except (ConnectionFailedError, ConnectionTimeoutError):
                if number == first + len(clients) - 1:
                    raise
                continue
            self._at = place
            return answer
        raise AssertionError("there is at least one host")

    def close(self) -> None:
        with self._guard:
            if self._session is not None and self._pid == os.getpid():
                self._session.close()
            self._session, self._clients, self._pid = None, [], 0

    def _ready(self) -> list[Etcd3Client]:
        """The clients of this process: a forked child does not write to its parent's sockets."""
        with self._guard:
            if self._pid != os.getpid():
                session = requests.Session()
                session.trust_env = False  # a proxy for the web is none for etcd
                files = self.address.files
                if "ca" in files:
                    session.verify = files["ca"]
                if "cert" in files:
                    session.cert = (files["cert"], files.get("key", files["cert"]))
                self._session, self._pid = session, os.getpid()
                protocol = "https" if self.address.secure else "http"
                timeout: Any = (CONNECT_TIMEOUT, ANSWER_TIMEOUT)  # goes to requests as it is
                self._clients = [
                    Etcd3Client(host, port, protocol, timeout=timeout, api_path="/v3/", session=session)
                    for host, port in self.address.hosts
                ]
            return self._clients

    def _as_user(self, client: Etcd3Client, work: Callable[[Etcd3Client], T]) -> T:
        if not self.address.user:
            return work(client)
        try:
            if "Authorization" not in client.session.headers:
                self._log_in(client)
            return work(client)
        except Etcd3Exception as error:
            if not any(words in str(error.detail_text) for words in STALE):
                raise
        self._log_in(client)
        return work(client)

    def _log_in(self, client: Etcd3Client) -> None:
        who = {"name": self.address.user, "password": self.address.password}
        client.session.headers.pop("Authorization", None)
        try:
            client.session.headers["Authorization"] = client.post(client.get_url("/auth/authenticate"), json=who)["token"]
        except Etcd3Exception as error:
            if NO_USERS not in str(error.detail_text):  # then nobody asks for one
                raise
