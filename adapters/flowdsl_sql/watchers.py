"""Hearing what other processes committed: PostgreSQL tells, SQLite can be asked cheaply, MariaDB is silent."""

from __future__ import annotations

import logging
import threading
from typing import Any

import msgspec

from flowdsl_sql.connect import in_memory
from flowdsl_sql.database import Database
from flowdsl_sql.errors import is_driver_error, text_of
from flowdsl_sql.listeners import Listeners, Watcher
from flowdsl_sql.postgresql_writer import CHANNEL

log = logging.getLogger("flowdsl.sql.watchers")
SQLITE_POLL = 0.05
"""Seconds between two looks at SQLite's change counter."""
POSTGRESQL_POLL = 0.5
"""Seconds after which the waiting thread sees that it is to stop."""
RECONNECT = 1.0


def watcher_for(database: Database, listeners: Listeners) -> Watcher | None:
    """A watcher of the database, not started; None where there is none."""
    if database.dialect.name == "postgresql":
        return NotificationWatcher(database, listeners)
    if database.dialect.name == "sqlite" and not in_memory(database.url):
        return ChangeWatcher(database, listeners)
    return None


class _Thread:
    """A daemon thread with a connection of its own, made again when it breaks."""

    def __init__(self, database: Database, listeners: Listeners) -> None:
        self.database = database
        self.listeners = listeners
        self.stopping = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"flowdsl-{type(self).__name__}", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._ready.wait(SQLITE_POLL * 20)  # what is committed after `listen` returned is heard, if the database can be reached

    def stop(self) -> None:
        self.stopping.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while not self.stopping.is_set():
            connection: Any = None
            try:
                connection = self.database.engine.raw_connection()
                connection.detach()
                self.watch(connection.dbapi_connection, self._ready)
            except Exception as error:
                if not is_driver_error(error):
                    log.exception("the watcher of %s failed", self.database.where)
                else:
                    log.warning("cannot hear other processes of %s: %s", self.database.where, text_of(error))
                self.stopping.wait(RECONNECT)
                self.listeners.wake_all()  # whatever was missed meanwhile
            finally:
                if connection is not None:
                    connection.close()

    def watch(self, driver: Any, ready: threading.Event) -> None:
        raise NotImplementedError


class ChangeWatcher(_Thread):
    """SQLite: a counter tells whether another connection has changed the file."""

    def watch(self, driver: Any, ready: threading.Event) -> None:
        seen = driver.execute("PRAGMA data_version").fetchone()
        ready.set()
        while not self.stopping.wait(SQLITE_POLL):
            now = driver.execute("PRAGMA data_version").fetchone()
            if now != seen:
                seen = now
                self.listeners.wake_all()


class NotificationWatcher(_Thread):
    """PostgreSQL: LISTEN. A note is a JSON list: the namespace, then the topics."""

    def watch(self, driver: Any, ready: threading.Event) -> None:
        driver.execute(f"LISTEN {CHANNEL}")
        ready.set()
        while not self.stopping.is_set():
            for note in driver.notifies(timeout=POSTGRESQL_POLL):
                namespace, *topics = msgspec.json.decode(note.payload, type=list[str])
                if topics:
                    self.listeners.wake((namespace, topic) for topic in topics)
                else:
                    self.listeners.wake_namespace(namespace)
                if self.stopping.is_set():
                    return
