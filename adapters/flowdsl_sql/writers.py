"""Which writer speaks to which database."""

from __future__ import annotations

from flowdsl_sql.dialects import Dialect
from flowdsl_sql.mysql_writer import MySQLWriter
from flowdsl_sql.postgresql_writer import PostgreSQLWriter
from flowdsl_sql.writer import Writer

WRITERS: dict[str, type[Writer]] = {"sqlite": Writer, "postgresql": PostgreSQLWriter, "mysql": MySQLWriter}


def writer_for(dialect: Dialect) -> type[Writer]:
    return WRITERS[dialect.name]
