"""What a driver's error means. The only place that knows error codes."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from enum import Enum, auto

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from flowdsl.errors import FlowError, SchemaError, StoreError, StoreUnavailableError


class Trouble(Enum):
    """Kinds of driver error, by what can be done about them."""

    CONFLICT = auto()
    """Deadlock, serialization failure, lock timeout, busy: the transaction was rolled back and may be repeated."""
    DATA = auto()
    """A value that the database cannot hold."""
    UNREACHABLE = auto()
    """The connection is gone or could not be made, or the server is not able to serve now."""
    SCHEMA = auto()
    """Tables or columns are missing."""
    DATABASE = auto()
    """The server has no database of that name."""
    NO_SCHEMA = auto()
    """The database has none of the schemas in which tables would be made."""
    OTHER = auto()


MYSQL_CONFLICT = frozenset({1205, 1213, 1020, 3572})
MYSQL_DATA = frozenset({1264, 1265, 1292, 1300, 1366, 1406, 1153, 1301, 1071, 3140})
MYSQL_SCHEMA = frozenset({1054, 1146})
MYSQL_NO_DATABASE = 1049
MYSQL_UNREACHABLE = frozenset(
    {0, 1040, 1045, 1053, 1077, 1129, 1152, 1158, 1159, 1160, 1161, 1184, 1203, 1290, 1836, 1927, 1969, 3024}
)
NO_DATABASE = re.compile(r'FATAL: +database ".*" does not exist')
"""What PostgreSQL says while it is connected to; psycopg has no code for it then. In a server with another language it is
taken for one that cannot serve."""
POSTGRESQL_UNREACHABLE = frozenset({"25006", "25P03", "25P04"})
"""Beside whole classes: a server that is read-only, a transaction that the server ended because this process was too slow."""
SQLITE_CONFLICT = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
SQLITE_UNREACHABLE = frozenset(
    {
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_PROTOCOL,
    }
)


def diagnose(error: BaseException) -> Trouble:
    """What kind of trouble an error of SQLAlchemy or of a driver is."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        return diagnose(error.orig)
    if isinstance(error, PoolTimeout):
        return Trouble.UNREACHABLE
    if isinstance(error, (UnicodeError, OverflowError)):
        return Trouble.DATA  # the driver could not put a value on the wire
    if isinstance(error, sqlite3.Error):
        return _sqlite(error)
    module = type(error).__module__.partition(".")[0]
    if module in ("psycopg", "psycopg2") or _of_asyncpg(error):
        return _postgresql(error)
    if module == "pymysql":
        return _mysql(error)
    if isinstance(error, OSError):
        return Trouble.UNREACHABLE
    return Trouble.OTHER


def _sqlite(error: sqlite3.Error) -> Trouble:
    code: int = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in SQLITE_CONFLICT:
        return Trouble.CONFLICT
    if code in SQLITE_UNREACHABLE:
        return Trouble.UNREACHABLE
    if code in (sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH) or isinstance(error, (sqlite3.DataError, sqlite3.InterfaceError)):
        return Trouble.DATA
    if isinstance(error, sqlite3.IntegrityError):
        return Trouble.CONFLICT
    if isinstance(error, sqlite3.ProgrammingError) and "type" in str(error):
        return Trouble.DATA  # "Error binding parameter: type ... is not supported"
    text = str(error)
    return Trouble.SCHEMA if "no such table" in text or "no such column" in text or "has no column" in text else Trouble.OTHER


def _of_asyncpg(error: BaseException) -> bool:
    """Whether it is what SQLAlchemy raises for an error of asyncpg's."""
    return type(error).__module__ == "sqlalchemy.dialects.postgresql.asyncpg"


def _postgresql(error: BaseException) -> Trouble:
    state: str | None = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    name = type(error).__name__
    if state is None:
        if name == "DataError":
            return Trouble.DATA  # refused by the driver, e.g. a NUL character
        if NO_DATABASE.search(str(error)):
            return Trouble.DATABASE
        return Trouble.UNREACHABLE if name in ("OperationalError", "InterfaceError", "PipelineAborted") else Trouble.OTHER
    if state[:2] == "40" or state in ("55P03", "23505"):
        return Trouble.CONFLICT  # a unique violation here is a race that the next try sees settled
    if state[:2] == "22" or state[:2] == "54":
        return Trouble.DATA
    if state == "3D000":
        return Trouble.DATABASE
    if state == "3F000":
        return Trouble.NO_SCHEMA
    if state in ("42P01", "42703"):
        return Trouble.SCHEMA
    if state[:2] in ("08", "53", "57", "28") or state in POSTGRESQL_UNREACHABLE:
        return Trouble.UNREACHABLE
    return Trouble.OTHER


def _mysql(error: BaseException) -> Trouble:
    code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    if code in MYSQL_CONFLICT or code == 1062:
        return Trouble.CONFLICT
    if code in MYSQL_DATA:
        return Trouble.DATA
    if code == MYSQL_NO_DATABASE:
        return Trouble.DATABASE
    if code in MYSQL_SCHEMA:
        return Trouble.SCHEMA
    if code in MYSQL_UNREACHABLE or 2000 <= code < 3000:
        return Trouble.UNREACHABLE
    return Trouble.OTHER


def text_of(error: BaseException) -> str:
    """The driver's own words on one line, without the statement and its parameters."""
    orig = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return " ".join(f"{type(orig).__name__}: {orig}".split())


def flow_error(error: BaseException, where: str) -> StoreError:
    """The error that flowdsl raises for a driver's. In: the store's URL without its password."""
    trouble = diagnose(error)
    if trouble is Trouble.SCHEMA:
        return schema_error(where, f"a table or column is missing in {where}: {text_of(error)}")
    if trouble is Trouble.DATABASE:
        return StoreUnavailableError(
            f"there is no such database on that server: {where}.", remedy="Create it first (CREATE DATABASE)."
        )
    if trouble is Trouble.NO_SCHEMA:
        return SchemaError(
            f"{where} has none of the schemas that its search_path names, so there is nowhere to make tables.",
            remedy="Create the schema first (CREATE SCHEMA), and let the user of the URL create tables in it.",
        )
    if trouble in (Trouble.UNREACHABLE, Trouble.CONFLICT):
        text = text_of(error)
        end = "" if text.endswith((".", "?", "!")) else "."
        remedy = None
        if trouble is Trouble.UNREACHABLE and not isinstance(error, PoolTimeout):
            remedy = CHECK_FILE if where.startswith("sqlite") else CHECK_SERVER
        return StoreUnavailableError(f"{where} cannot serve right now: {text}{end}", remedy=remedy)
    return StoreError(f"{where} could not answer: {text_of(error)}")


CHECK_SERVER = "Check that the server runs and that URL, user and password are right."
CHECK_FILE = "Check the path, the permissions and the room on the disk."


def schema_error(where: str, what: str) -> SchemaError:
    """The tables do not fit; says how to make them fit."""
    return SchemaError(f"{what}.", remedy=f"Run `flowdsl db upgrade --store {where}`.")


DRIVER_ERRORS = (DBAPIError, PoolTimeout, sqlite3.Error, OSError, UnicodeError, OverflowError)


def is_driver_error(error: BaseException) -> bool:
    """Whether an error comes from the database side, so that `flow_error` speaks for it."""
    if isinstance(error, DRIVER_ERRORS) or _of_asyncpg(error):
        return True
    return type(error).__module__.partition(".")[0] in ("psycopg", "psycopg2", "pymysql")


@contextmanager
def translated(where: str) -> Generator[None]:
    """Driver errors become flowdsl's; everything else passes."""
    try:
        yield
    except FlowError:
        raise
    except Exception as error:
        if not is_driver_error(error):
            raise
        raise flow_error(error, where) from error
