"""A TCP proxy before a server, for tests of what a bad network does."""

from __future__ import annotations

import socket
import threading
from urllib.parse import urlsplit


class Proxy:
    """A TCP proxy before a server, that can cut every connection or swallow what the server says."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 0)
        self._server = socket.create_server(("127.0.0.1", 0))
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._silent = threading.Event()
        port = self._server.getsockname()[1]
        self.url = url.replace(f"{parts.hostname}:{parts.port}", f"127.0.0.1:{port}")
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def cut(self) -> None:
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                shut(end)

    def silence(self) -> None:
        self._silent.set()

    def speak(self) -> None:
        self._silent.clear()

    def close(self) -> None:
        shut(self._server)
        self._server.close()
        self.cut()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            try:
                remote = socket.create_connection(self._target)
            except OSError:  # the server is down: so is this connection
                client.close()
                continue
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            self._pairs = [pair for pair in self._pairs if pair[0].fileno() >= 0 or pair[1].fileno() >= 0]
            self._pairs.append((client, remote))
            for ends in ((client, remote, False), (remote, client, True)):
                thread = threading.Thread(target=self._copy, args=ends)
                self._threads.append(thread)
                thread.start()

    def _copy(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        with source:
            try:
                while data := source.recv(65536):
                    if not (answers and self._silent.is_set()):
                        target.sendall(data)
            except OSError:
                pass
            finally:
                shut(target)


def shut(end: socket.socket) -> None:
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
