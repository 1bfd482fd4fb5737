"""The tables. What the migrations make by hand equals this; a test compares them on every database.

Times are microseconds since the epoch, UTC. Text is compared byte by byte. Objects are bytes.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    DDL,
    BigInteger,
    Column,
    Computed,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    event,
)
from sqlalchemy.dialects.mysql import LONGBLOB, LONGTEXT
from sqlalchemy.schema import SchemaItem

PREFIX = "flowdsl_"
VERSION_TABLE = f"{PREFIX}version"

Name = String(255)
Topic = String(480)  # with the namespace and the sort columns, MariaDB's limit for an index (3072 bytes)
Long = Text().with_variant(LONGTEXT(), "mysql", "mariadb")
Bytes = LargeBinary().with_variant(LONGBLOB(), "mysql", "mariadb")

OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_0900_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_nopad_bin",
}
"""Both collations tell 'a', 'A' and 'a ' apart; MariaDB and MySQL have no name for it in common."""

metadata = MetaData()


def _table(name: str, *items: SchemaItem, fillfactor: int | None = None) -> Table:
    table = Table(PREFIX + name, metadata, *items, **OPTIONS)
    if fillfactor is not None:  # SQLAlchemy 2.0 cannot say it in CREATE TABLE
        room: DDL = DDL(f"ALTER TABLE {table.name} SET (fillfactor = {fillfactor})")  # type: ignore[no-untyped-call]
        event.listen(table, "after_create", room.execute_if(dialect="postgresql"))
    return table


run = _table(
    "run",
    Column("run_id", Name, primary_key=True),
    Column("namespace", Name, nullable=False),
    Column("workflow", Name, nullable=False),
    Column("foreign_id", Name, nullable=False),
    Column("status", Name, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("visit", BigInteger, nullable=False),
    Column("task", BigInteger, nullable=False),
    Column("payload", Bytes),
    Column("content_type", Name),
    Column("schema_version", Integer),
    Column("created", BigInteger, nullable=False),
    Column("updated", BigInteger, nullable=False),
    Column("finished", BigInteger),
    Column("change_id", Name, nullable=False),
    Column("reason", Long),
    Column("actor", Long),
    Column("last_error", Long),
    Column("auto_resumes", Integer, nullable=False),
    Column("timers", SmallInteger, nullable=False),
    Column("requested_state", SmallInteger),
    Column("requested_reason", Long),
    Column("requested_actor", Long),
    Column("metadata", Long),
    Column("tags", Long),
    Column("parent_run_id", Name),
    Column("priority", Integer, nullable=False),
    fillfactor=70,
)

pending = _table(
    "pending",
    Column("row_id", Name, primary_key=True),
    Column("namespace", Name, nullable=False),
    Column("workflow", Name, nullable=False),
    Column("topic", Topic, nullable=False),
    Column("kind", SmallInteger, nullable=False),
    Column("receiver", Name, nullable=False),
    Column("run_id", Name, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("visit", BigInteger, nullable=False),
    Column("due", BigInteger),
    Column("remaining", BigInteger),
    Column("created", BigInteger, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("owner", Name),
    Column("delivery", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("lapses", Integer, nullable=False),
    Column("last_error", Long),
    Column("payload", Bytes),
    Column("mark", Name),
    fillfactor=70,
)

history = _table(
    "history",
    Column("run_id", Name, primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("from_status", Name),
    Column("to_status", Name, nullable=False),
    Column("from_state", SmallInteger, nullable=False),
    Column("to_state", SmallInteger, nullable=False),
    Column("cause", Name, nullable=False),
    Column("name", Long, nullable=False),
    Column("actor", Long, nullable=False),
    Column("reason", Long),
    Column("error", Long),
    Column("attempt", Integer, nullable=False),
    Column("change_id", Name, nullable=False),
    Column("at", BigInteger, nullable=False),
)

item = _table(
    "item",
    Column("namespace", Name, primary_key=True),
    Column("kind", Name, primary_key=True),
    Column("item_key", Name, primary_key=True),
    Column("body", Bytes, nullable=False),
    Column("due", BigInteger),
    Column("created", BigInteger, nullable=False),
    Column("change_id", Name, nullable=False),
)

instance = _table(
    "instance",
    Column("namespace", Name, primary_key=True),
    Column("owner", Name, primary_key=True),
    Column("host", Long, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("pid_started", Long, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("gone", BigInteger),
)

lease = _table(
    "lease",
    Column("role", String(700), primary_key=True),
    Column("member", Name),
    Column("token", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
)

candidate = _table(
    "candidate",
    Column("member", Name, primary_key=True),
    Column("roles", Long, nullable=False),
    Column("expires", BigInteger, nullable=False),
)


topic = _table("topic", Column("topic", Topic, primary_key=True), Column("head", BigInteger, nullable=False))
"""The last place of each topic of the event log. Who publishes holds this row, so places are seen in order and without gaps."""

log_event = _table(
    "event",
    Column("topic", Topic, primary_key=True),
    Column("place", BigInteger, primary_key=True, autoincrement=False),
    Column("event", Bytes, nullable=False),
    Column("created", BigInteger, nullable=False),
)

reader = _table(
    "reader",
    Column("name", Name, primary_key=True),
    Column("topic", Topic, primary_key=True),
    Column("next_place", BigInteger, nullable=False),
)

taken = _table(
    "taken",
    Column("taken_id", Name, primary_key=True),
    Column("name", Name, nullable=False),
    Column("topic", Topic, nullable=False),
    Column("reader", Name, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("places", Long, nullable=False),
)


def _indexes() -> None:
    # Where the database has partial indexes, what is finished, claimed or parked costs nothing. No index and no predicate names a
    # column that a transition of a run changes, but for those that change its state: PostgreSQL updates runs in place (HOT).
    unfinished = run.c.finished.is_(None)
    Index(
        "flowdsl_run_unfinished",
        run.c.namespace,
        run.c.workflow,
        run.c.foreign_id,
        unique=True,
        postgresql_where=unfinished,
        sqlite_where=unfinished,
    )
    Index("flowdsl_run_foreign", run.c.namespace, run.c.workflow, run.c.foreign_id, run.c.created)
    Index("flowdsl_run_created", run.c.namespace, run.c.created, run.c.run_id)
    Index("flowdsl_run_state", run.c.namespace, run.c.state, run.c.created, run.c.run_id)
    finished = run.c.finished.is_not(None)
    Index(
        "flowdsl_run_finished",
        run.c.namespace,
        run.c.workflow,
        run.c.finished,
        postgresql_where=finished,
        sqlite_where=finished,
    )
    waiting = pending.c.owner.is_(None) & pending.c.due.is_not(None)
    Index(
        "flowdsl_pending_due",
        pending.c.namespace,
        pending.c.topic,
        pending.c.priority,
        pending.c.due,
        postgresql_where=waiting,
        sqlite_where=waiting,
    )
    claimed = pending.c.owner.is_not(None)
    Index("flowdsl_pending_owner", pending.c.namespace, pending.c.owner, postgresql_where=claimed, sqlite_where=claimed)
    beside = pending.c.kind != 0
    Index("flowdsl_pending_run", pending.c.run_id, postgresql_where=beside, sqlite_where=beside)
    Index("flowdsl_taken_expires", taken.c.name, taken.c.topic, taken.c.expires)
    due_item = item.c.due.is_not(None)
    Index("flowdsl_item_due", item.c.namespace, item.c.kind, item.c.due, postgresql_where=due_item, sqlite_where=due_item)


_indexes()


def metadata_for(dialect: str) -> MetaData:
    """The tables as they are on one database. MySQL and MariaDB have no partial indexes: there generated columns, empty for
    what the index is not about, do the same."""
    if dialect not in ("mysql", "mariadb"):
        return metadata
    own = MetaData()
    for table in metadata.sorted_tables:
        table.to_metadata(own)
    runs = own.tables[run.name]
    rows = own.tables[pending.name]
    for table, name in ((runs, "flowdsl_run_unfinished"), (rows, "flowdsl_pending_due")):
        table.indexes -= {index for index in table.indexes if index.name == name}
    runs.append_column(Column("unfinished", SmallInteger, Computed("CASE WHEN finished IS NULL THEN 1 END", persisted=True)))
    Index("flowdsl_run_unfinished", runs.c.namespace, runs.c.workflow, runs.c.foreign_id, runs.c.unfinished, unique=True)
    rows.append_column(Column("waiting", BigInteger, Computed("CASE WHEN owner IS NULL THEN due END", persisted=True)))
    Index("flowdsl_pending_due", rows.c.namespace, rows.c.topic, rows.c.priority, rows.c.waiting)
    return own
