"""One database: connections, transactions, repetition of what may be repeated, the clock."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
import uuid
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import sqlalchemy
from sqlalchemy import URL, Engine
from sqlalchemy.pool import NullPool

from flowdsl.clock import Clock
from flowdsl.errors import FlowError, StoreError, StoreUnavailableError
from flowdsl_sql.array_literal import array_literal
from flowdsl_sql.connect import CONNECT_TIMEOUT, connect, connect_for_users, in_memory, shown
from flowdsl_sql.dialects import Dialect, dialect_of
from flowdsl_sql.errors import Trouble, diagnose, flow_error, is_driver_error

T = TypeVar("T")
log = logging.getLogger("flowdsl.sql")
Row = Sequence[Any]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
LAST = 253_402_300_799_999_999
"""The last microsecond that a datetime can tell."""
TRIES = 10
"""How often a transaction is tried that deadlocks, times out waiting for a row, or fails to serialize."""
CONNECTION_TRIES = 3
MAX_VARIABLES = 900


def to_micros(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND


def to_datetime(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


def after(now: int, delay: timedelta) -> int:
    """The time `delay` after `now`, within what can be stored."""
    return max(0, min(now + delay // MICROSECOND, LAST))


class Session:
    """One connection in use, with one raw cursor. Statements are written with `?` for each bound value.

    What is said with `later` has happened when the next answer is fetched, or the transaction committed: on PostgreSQL it travels
    together with that.
    """

    def __init__(self, connection: Any, dialect: Dialect, clock: Clock | None) -> None:
        self.dialect = dialect
        self.cursor: Any = dialect.cursor(connection)
        self._driver = connection.driver_connection
        self._clock = clock
        self._waiting: list[tuple[str, Any]] = []
        self._undone = False

    def begin(self) -> None:
        self.later_as_written(self.dialect.begin)

    def commit(self) -> None:
        self.execute("ROLLBACK" if self._undone else "COMMIT")

    def undo(self) -> None:
        """Nothing of the transaction is to be committed."""
        self._waiting = []
        self._undone = True

    def flush(self) -> None:
        """Send what is waiting, without an end of the transaction."""
        if self._waiting:
            self.execute("SELECT 1").fetchall()

    def later(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Execute something that has no answer."""
        self.later_as_written(self.dialect.text(sql), parameters)

    def later_as_written(self, sql: str, parameters: Any = None) -> None:
        """The same for a statement in the driver's own writing."""
        if self.dialect.pipelines:
            self._waiting.append((sql, parameters))
        elif parameters is None:
            self.cursor.execute(sql)
        else:
            self.cursor.execute(sql, parameters)

    def execute(self, sql: str, parameters: Any = None) -> Any:
        """Execute a statement in the driver's own writing, after what is waiting; the cursor."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            with self._driver.pipeline():
                for earlier, values in waiting:
                    self._driver.execute(earlier, values)
                self.cursor.execute(sql, parameters)
        elif parameters is None:
            self.cursor.execute(sql)
        else:
            self.cursor.execute(sql, parameters)
        return self.cursor

    def commit_alone(self, sql: str, parameters: Any) -> Sequence[Row]:
        """Execute one statement that is a whole transaction, outside of `begin` and `commit`; its rows."""
        rows: Sequence[Row] = self.execute(sql, parameters).fetchall()
        return rows

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Execute; how many rows were touched."""
        return int(self.execute(self.dialect.text(sql), parameters).rowcount)

    def all(self, sql: str, parameters: Sequence[Any] = ()) -> Sequence[Row]:
        rows: Sequence[Row] = self.execute(self.dialect.text(sql), parameters).fetchall()
        return rows

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> Row | None:
        row: Row | None = self.execute(self.dialect.text(sql), parameters).fetchone()
        return row

    def many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Execute for each row."""
        if not rows:
            return
        text = self.dialect.text(sql)
        if self.dialect.pipelines:
            self._waiting.extend((text, row) for row in rows)
        else:
            self.cursor.executemany(text, rows)

    def among(self, sql: str, values: Sequence[Any], before: Sequence[Any] = (), behind: str = "") -> Sequence[Row]:
        """Rows of `sql`, which ends with `... IN`, for any number of values; `behind` follows the list."""
        if not values:
            return ()
        if len(values) <= MAX_VARIABLES:
            return self.all(*self._listed(sql, values, before, behind))
        found: list[Row] = []
        for begin in range(0, len(values), MAX_VARIABLES):
            found.extend(self.among(sql, values[begin : begin + MAX_VARIABLES], before, behind))
        return found

    def among_and_now(self, sql: str, values: Sequence[Any], behind: str = "") -> tuple[Sequence[Row], int]:
        """As `among`, and the time afterwards, in one go where the database can."""
        if not self.dialect.pipelines or self._clock is not None or not 0 < len(values) <= MAX_VARIABLES:
            return self.among(sql, values, behind=behind), self.now()
        text, parameters = self._listed(sql, values, (), behind)
        waiting, self._waiting = self._waiting, []
        with self._driver.pipeline():
            for earlier, late in waiting:
                self._driver.execute(earlier, late)
            self.cursor.execute(self.dialect.text(text), parameters)
            clock = self._driver.execute(f"SELECT {self.dialect.now}")
        return self.cursor.fetchall(), int(clock.fetchone()[0])

    def later_among(self, sql: str, values: Sequence[Any], before: Sequence[Any] = ()) -> None:
        """As `among`, for a statement that has no answer."""
        for begin in range(0, len(values), MAX_VARIABLES):
            self.later(*self._listed(sql, values[begin : begin + MAX_VARIABLES], before, ""))

    def _listed(self, sql: str, values: Sequence[Any], before: Sequence[Any], behind: str) -> tuple[str, Sequence[Any]]:
        if self.dialect.name == "postgresql" and sql.endswith(" IN"):
            # One array instead of hundreds of parameters: the generic plan of a long list is made for a table it does not know
            # and reads all of that.
            kind = "bigint" if isinstance(values[0], int) else "text"
            return f"{sql[:-3]} = ANY(?::{kind}[]){behind}", (*before, array_literal(kind, values))
        return f"{sql} {self.dialect.marks(len(values))}{behind}", (*before, *self.dialect.padded(values))

    def now(self) -> int:
        """The database's clock, or the injected one."""
        if self._clock is not None:
            return to_micros(self._clock.now())
        if self.dialect.now is None:
            return time.time_ns() // 1000
        row = self.one(f"SELECT {self.dialect.now}")
        return int(row[0]) if row is not None else 0


class Database:
    """The engine of one URL and how work is done with it. Safe for threads; a forked child gets connections of its own."""

    def __init__(self, url: URL, clock: Clock | None) -> None:
        self.url = url
        self.where = shown(url)
        self.clock = clock
        self.name = uuid.uuid4().hex
        """Tells its notes to other processes from theirs to it."""
        self._guard = threading.Lock()
        self._closed = False
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._engine = connect(self.url)
        self._users: Engine | None = None
        self._apart: Engine | None = None
        self.dialect = dialect_of(self.url)
        self._alone = threading.RLock() if in_memory(self.url) else None
        self._writing = _writer_lock(self.url)

    def prepare(self) -> None:
        """Look at the server once: a `mysql` URL may lead to MariaDB, whose collations have other names."""
        if self.url.get_backend_name() != "mysql":
            return
        engine = sqlalchemy.create_engine(self.url, poolclass=NullPool, connect_args={"connect_timeout": CONNECT_TIMEOUT})
        with engine.connect() as connection:
            mariadb = bool(getattr(connection.dialect, "is_mariadb", False))
        if mariadb:
            self._engine.dispose()
            self.url = self.url.set(drivername=self.url.drivername.replace("mysql", "mariadb", 1))
            self._start()

    @property
    def engine(self) -> Engine:
        """The engine of this process. Raises StoreError after `close`."""
        if self._closed:
            raise StoreError("the store is closed.", remedy="Open a new one.")
        if self._pid != os.getpid():
            with self._guard:
                if self._pid != os.getpid():
                    self._dispose(close=False)  # the sockets are the parent's; it goes on using them
                    self._start()
        return self._engine

    @property
    def users(self) -> Engine:
        """The engine of the user's own transactions: its connections have the server's ordinary settings. Raises StoreError."""
        engine = self.engine
        if self.dialect.name == "sqlite":
            return engine
        with self._guard:
            if self._users is None:
                self._users = connect_for_users(self.url)
            return self._users

    @property
    def apart(self) -> Engine:
        """The engine of what must not wait until other threads have done with their connections. Raises StoreError."""
        engine = self.engine
        if self.dialect.name == "sqlite":  # its one writer is waited for in any case
            return engine
        with self._guard:
            if self._apart is None:
                self._apart = connect(self.url)
            return self._apart

    @property
    def writing(self) -> Any:
        """Held while somebody writes where there is one writer. Raises StoreError."""
        self.check_open()
        return self._writing

    def check_open(self) -> None:
        """Raises StoreError after `close`."""
        _ = self.engine

    def close(self) -> None:
        """Let go of every connection. Further calls raise StoreError."""
        if not self._closed:
            self._closed = True
            self._dispose(close=self._pid == os.getpid())

    def _dispose(self, *, close: bool) -> None:
        for engine in (self._engine, self._users, self._apart):
            if engine is not None:
                engine.dispose(close=close)

    @contextmanager
    def _session(self, engine: Engine) -> Generator[Session]:
        alone = self._alone
        if alone is not None:
            alone.acquire()
        pool = engine.pool
        try:
            connection = engine.raw_connection()
            try:
                session = Session(connection, self.dialect, self.clock)
                try:
                    yield session
                except BaseException:
                    _end_statement(session)
                    raise
                session.cursor.close()
            except BaseException as error:
                self.put_back(connection, error)
                raise
            finally:
                connection.close()
                self.end_if_closed(pool, engine)
        finally:
            if alone is not None:
                alone.release()

    def end_if_closed(self, pool: Any, engine: Engine) -> None:
        """Closed meanwhile, by another thread: nobody else ends a connection that came back after that."""
        if self._closed:
            pool.dispose()
            engine.dispose()

    def put_back(self, connection: Any, error: BaseException) -> None:
        """After an error nothing of a transaction may stay on the connection; one that may be broken is thrown away."""
        if self._alone is None and (not is_driver_error(error) or diagnose(error) is Trouble.UNREACHABLE):
            connection.invalidate()
            return
        try:
            connection.driver_connection.rollback()
        except Exception:
            connection.invalidate()
            if not is_driver_error(error):
                raise

    def read(self, work: Callable[[Session], T]) -> T:
        """Do something that only reads; each statement sees what is committed."""
        return self._repeat(self._read_once, work)

    def write(self, work: Callable[[Session], T]) -> T:
        """Do something in one transaction. `work` may run several times: it must depend on nothing that an earlier try left."""
        return self._repeat(lambda mine: self._write_once(mine, self.engine), work)

    def write_apart(self, work: Callable[[Session], T]) -> T:
        """The same on a connection that nobody else uses. For one thread."""
        return self._repeat(lambda mine: self._write_once(mine, self.apart), work)

    def _read_once(self, work: Callable[[Session], T]) -> T:
        with self._session(self.engine) as session:
            return work(session)

    def _write_once(self, work: Callable[[Session], T], engine: Engine) -> T:
        with self._writing, self._session(engine) as session:  # in a forked child the engine came with a lock of its own
            session.begin()
            answer = work(session)
            session.commit()
            return answer

    def _repeat(self, once: Callable[[Callable[[Session], T]], T], work: Callable[[Session], T]) -> T:
        conflicts = breaks = 0
        while True:
            try:
                return once(work)
            except Exception as error:
                if isinstance(error, FlowError) or not is_driver_error(error):
                    raise
                trouble = diagnose(error)
                if trouble is Trouble.CONFLICT:
                    conflicts += 1
                    if conflicts >= TRIES:
                        raise StoreUnavailableError(
                            f"{self.where}: a transaction met a conflict {conflicts} times.", remedy="Try again."
                        ) from error
                    time.sleep(random.uniform(0, 0.002 * 2**conflicts))
                elif trouble is Trouble.UNREACHABLE:
                    breaks += 1
                    if breaks >= CONNECTION_TRIES:
                        raise flow_error(error, self.where) from error
                    time.sleep(random.uniform(0, 0.05 * breaks))
                elif trouble is Trouble.DATA:
                    raise Unstorable(error) from error
                else:
                    raise flow_error(error, self.where) from error


def _end_statement(session: Session) -> None:
    """SQLite keeps the transaction of a closed connection, and its lock, while a statement of it is open."""
    try:
        session.cursor.close()
    except Exception as error:
        log.debug("after an error a statement could not be closed: %s", type(error).__name__)


class Unstorable(StoreError):
    """The database cannot hold a value that it was given."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"the database cannot hold this: {type(error).__name__}: {error}")


_locks: dict[str, threading.RLock] = {}
_locks_guard = threading.Lock()


class _NoLock:
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def _writer_lock(url: URL) -> threading.RLock | _NoLock:
    """SQLite has one writer: this process's writers queue here, in order and awake at once, instead of sleeping in SQLite."""
    if url.get_backend_name() != "sqlite" or in_memory(url):
        return _NoLock()
    key = f"{os.getpid()}:{os.path.abspath(url.database or '')}"
    with _locks_guard:
        return _locks.setdefault(key, threading.RLock())
