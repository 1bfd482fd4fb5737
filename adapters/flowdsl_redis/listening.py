"""Hearing what other processes committed: a subscription for each namespace that somebody listens to."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

log = logging.getLogger("flowdsl.redis")
Wake = Callable[[Sequence[str]], None]
LOOK = 0.2
"""Seconds between two looks whether to end."""
RECONNECT = 1.0
READY = 2.0
"""Seconds that `add` waits for the subscription."""
_note = msgspec.msgpack.Decoder(list[str]).decode


class Ear:
    """In: the driver's client, the prefix of keys, this store's name, by which it knows its own notes."""

    def __init__(self, client: Any, prefix: bytes, name: str) -> None:
        self._client = client
        self._prefix = prefix
        self._name = name
        self._guard = threading.Lock()
        self._wakes: list[tuple[str, Wake]] = []
        self._thread: _Thread | None = None
        self._pid = os.getpid()

    def add(self, namespace: str, wake: Wake) -> Callable[[], None]:
        """Listen; returns the function that ends it."""
        entry = (namespace, wake)
        with self._guard:
            if self._pid != os.getpid():  # the listeners of a forked parent, and its thread, are not here
                self._wakes, self._thread, self._pid = [], None, os.getpid()
            self._wakes.append(entry)
            if self._thread is None:
                self._thread = _Thread(self._client, self._prefix + b"wake\0*", self._heard, self._wake_all)
            thread = self._thread
        thread.ready.wait(READY)

        def end() -> None:
            with self._guard:
                if entry in self._wakes:
                    self._wakes.remove(entry)
                idle = self._thread if not self._wakes else None
                if idle is not None:
                    self._thread = None
            if idle is not None:
                idle.stop()

        return end

    def wake(self, namespace: str, topics: Sequence[str]) -> None:
        for wanted, wake in list(self._wakes):
            if wanted == namespace:
                _call(wake, topics)

    def close(self) -> None:
        with self._guard:
            thread, self._thread, self._wakes = self._thread, None, []
        if thread is not None and self._pid == os.getpid():
            thread.stop()

    def _heard(self, channel: bytes, data: bytes) -> None:
        sender, *topics = _note(data)
        if sender != self._name:  # its own listeners were woken when the commit was answered
            self.wake(channel[len(self._prefix) + len(b"wake\0") :].decode(), topics)

    def _wake_all(self) -> None:
        for _, wake in list(self._wakes):
            _call(wake, ())


class _Thread:
    """A daemon thread with a subscription, made again when it breaks."""

    def __init__(self, client: Any, pattern: bytes, heard: Callable[[bytes, bytes], None], missed: Callable[[], None]) -> None:
        self.ready = threading.Event()
        self._client = client
        self._pattern = pattern
        self._heard = heard
        self._missed = missed
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flowdsl-redis-ear", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            subscription = self._client.pubsub()
            try:
                subscription.psubscribe(self._pattern)
                while not self._stopping.is_set():
                    message = subscription.get_message(timeout=LOOK)
                    if message is None:
                        continue
                    if message["type"] == "psubscribe":
                        self.ready.set()
                    elif message["type"] == "pmessage":
                        self._heard(message["channel"], message["data"])
            except Exception as error:  # also of what somebody else says in our channel: nobody would make this thread again
                log.warning("cannot hear other processes: %s", type(error).__name__)
                self._stopping.wait(RECONNECT)
                self._missed()  # whatever was said meanwhile
            finally:
                subscription.close()


def _call(wake: Wake, topics: Sequence[str]) -> None:
    try:
        wake(topics)
    except Exception:  # a listener's failure is not the committer's
        log.exception("a listener failed")
