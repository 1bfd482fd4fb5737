"""Hearing what other processes committed: PostgreSQL tells, SQLite can be asked cheaply, MariaDB is silent."""

from __future__ import annotations

import logging
import selectors
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from flowdsl_sql.connect import in_memory
from flowdsl_sql.database import Database
from flowdsl_sql.errors import is_driver_error, text_of
from flowdsl_sql.listeners import Listeners, Watcher
from flowdsl_sql.notes import CHANNEL, read_note

log = logging.getLogger("flowdsl.sql.watchers")
SQLITE_POLL = 0.05
"""Seconds between two looks at SQLite's change counter."""
ALIVE = 30.0
"""Seconds of silence after which the listening connection is tried."""
READY = 1.0
"""Seconds that `listen` waits for the watcher to be able to hear."""
RECONNECT = 1.0


def watcher_for(database: Database, listeners: Listeners) -> Watcher | None:
    """A watcher of the database, not started; None where there is none."""
    if database.dialect.name == "postgresql":
        return NotificationWatcher(database, listeners)
    if database.dialect.name == "sqlite" and not in_memory(database.url):
        return ChangeWatcher(database, listeners)
    return None


class _Thread(ABC):
    """A daemon thread with a connection of its own, made again when it breaks."""

    def __init__(self, database: Database, listeners: Listeners) -> None:
        self.listeners = listeners
        self.stopping = threading.Event()
        self._database = database
        self._ready = threading.Event()
        self._deaf = False
        self._thread = threading.Thread(target=self._run, name=f"flowdsl-{type(self).__name__}", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._ready.wait(READY)  # what is committed after `listen` returned is heard, if the database can be reached

    def stop(self) -> None:
        self.stopping.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while not self.stopping.is_set():
            try:
                connection = self._database.engine.raw_connection()
                driver: Any = connection.driver_connection
                connection.detach()
                try:
                    self.watch(driver, self._hears)
                finally:
                    connection.close()
            except Exception as error:
                if not is_driver_error(error):
                    log.exception("the watcher of %s failed", self._database.where)
                else:
                    # Tried each second for as long as the database is away: told when it begins and when it is over.
                    level = logging.DEBUG if self._deaf else logging.WARNING
                    log.log(level, "cannot hear other processes of %s: %s", self._database.where, text_of(error))
                    self._deaf = True
                self.stopping.wait(RECONNECT)
                self.listeners.wake_all()  # whatever was missed meanwhile

    def _hears(self) -> None:
        if self._deaf:
            log.info("hears other processes of %s again", self._database.where)
            self._deaf = False
        self._ready.set()

    @abstractmethod
    def watch(self, driver: Any, hears: Callable[[], None]) -> None:
        """Until `stopping`. Calls `hears` as soon as what is committed is heard."""


class ChangeWatcher(_Thread):
    """SQLite: a counter tells whether another connection has changed the file."""

    def watch(self, driver: Any, hears: Callable[[], None]) -> None:
        seen = driver.execute("PRAGMA data_version").fetchone()
        hears()
        while not self.stopping.wait(SQLITE_POLL):
            now = driver.execute("PRAGMA data_version").fetchone()
            if now != seen:
                seen = now
                self.listeners.wake_all()


class NotificationWatcher(_Thread):
    """PostgreSQL: LISTEN."""

    def __init__(self, database: Database, listeners: Listeners) -> None:
        super().__init__(database, listeners)
        self._bell, self._rope = socket.socketpair()

    def stop(self) -> None:
        self.stopping.set()
        self._rope.send(b"!")
        super().stop()
        self._bell.close()
        self._rope.close()

    def watch(self, driver: Any, hears: Callable[[], None]) -> None:
        (channel,) = driver.execute(f"SELECT {CHANNEL}").fetchone()
        driver.execute(f"LISTEN {channel}")
        hears()
        with selectors.DefaultSelector() as either:
            either.register(driver, selectors.EVENT_READ)
            either.register(self._bell, selectors.EVENT_READ)
            while not self.stopping.is_set():
                if not either.select(ALIVE):
                    driver.execute("SELECT 1")  # a connection that broke in silence is found out
                self._hear(driver)

    def _hear(self, driver: Any) -> None:
        for note in driver.notifies(timeout=0):
            sender, namespace, topics = read_note(note.payload)
            if sender == self._database.name:
                continue  # its listeners were woken when the commit was answered
            if topics:
                self.listeners.wake((namespace, topic) for topic in topics)
            else:
                self.listeners.wake_namespace(namespace)
