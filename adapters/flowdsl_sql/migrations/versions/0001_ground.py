"""The first tables."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_0900_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_nopad_bin",
}
NAME = sa.String(255)
LONG = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
BYTES = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")


def required(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def index(name: str, table: str, columns: list[str], where: str | None = None, *, unique: bool = False) -> None:
    condition = None if where is None else sa.text(where)
    op.create_index(name, table, columns, unique=unique, postgresql_where=condition, sqlite_where=condition)


def upgrade() -> None:
    server = op.get_context().dialect.name
    unfinished: list[sa.Column[Any]] = []
    waiting: list[sa.Column[Any]] = []
    if server in ("mysql", "mariadb"):  # in place of partial indexes
        once = sa.Computed("CASE WHEN finished IS NULL THEN 1 END", persisted=True)
        unfinished.append(sa.Column("unfinished", sa.SmallInteger, once))
        free = sa.Computed("CASE WHEN owner IS NULL THEN due END", persisted=True)
        waiting.append(sa.Column("waiting", sa.BigInteger, free))
    op.create_table(
        "flowdsl_run",
        sa.Column("run_id", NAME, primary_key=True),
        required("namespace", NAME),
        required("workflow", NAME),
        required("foreign_id", NAME),
        required("status", NAME),
        required("state", sa.SmallInteger),
        required("version", sa.BigInteger),
        required("visit", sa.BigInteger),
        required("task", sa.BigInteger),
        sa.Column("payload", BYTES),
        sa.Column("content_type", NAME),
        sa.Column("schema_version", sa.Integer),
        required("created", sa.BigInteger),
        required("updated", sa.BigInteger),
        sa.Column("finished", sa.BigInteger),
        required("change_id", NAME),
        sa.Column("reason", LONG),
        sa.Column("actor", LONG),
        sa.Column("last_error", LONG),
        required("auto_resumes", sa.Integer),
        required("timers", sa.SmallInteger),
        sa.Column("requested_state", sa.SmallInteger),
        sa.Column("requested_reason", LONG),
        sa.Column("requested_actor", LONG),
        sa.Column("metadata", LONG),
        sa.Column("tags", LONG),
        sa.Column("parent_run_id", NAME),
        required("priority", sa.Integer),
        *unfinished,
        **OPTIONS,
    )
    op.create_table(
        "flowdsl_pending",
        sa.Column("row_id", NAME, primary_key=True),
        required("namespace", NAME),
        required("workflow", NAME),
        required("topic", sa.String(480)),
        required("kind", sa.SmallInteger),
        required("receiver", NAME),
        required("run_id", NAME),
        required("version", sa.BigInteger),
        required("visit", sa.BigInteger),
        sa.Column("due", sa.BigInteger),
        sa.Column("remaining", sa.BigInteger),
        required("created", sa.BigInteger),
        required("priority", sa.Integer),
        sa.Column("owner", NAME),
        required("delivery", sa.Integer),
        required("attempts", sa.Integer),
        required("lapses", sa.Integer),
        sa.Column("last_error", LONG),
        sa.Column("payload", BYTES),
        sa.Column("mark", NAME),
        *waiting,
        **OPTIONS,
    )
    if op.get_context().dialect.name == "postgresql":
        for table in ("flowdsl_run", "flowdsl_pending"):  # room in each page, so that updates stay in place
            op.execute(f"ALTER TABLE {table} SET (fillfactor = 70)")
    op.create_table(
        "flowdsl_history",
        sa.Column("run_id", NAME, primary_key=True),
        sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("from_status", NAME),
        required("to_status", NAME),
        required("from_state", sa.SmallInteger),
        required("to_state", sa.SmallInteger),
        required("cause", NAME),
        required("name", LONG),
        required("actor", LONG),
        sa.Column("reason", LONG),
        sa.Column("error", LONG),
        required("attempt", sa.Integer),
        required("change_id", NAME),
        required("at", sa.BigInteger),
        **OPTIONS,
    )
    op.create_table(
        "flowdsl_item",
        sa.Column("namespace", NAME, primary_key=True),
        sa.Column("kind", NAME, primary_key=True),
        sa.Column("item_key", NAME, primary_key=True),
        required("body", BYTES),
        sa.Column("due", sa.BigInteger),
        required("created", sa.BigInteger),
        required("change_id", NAME),
        **OPTIONS,
    )
    op.create_table(
        "flowdsl_instance",
        sa.Column("namespace", NAME, primary_key=True),
        sa.Column("owner", NAME, primary_key=True),
        required("host", LONG),
        required("pid", sa.BigInteger),
        required("pid_started", LONG),
        required("expires", sa.BigInteger),
        sa.Column("gone", sa.BigInteger),
        **OPTIONS,
    )
    op.create_table(
        "flowdsl_lease",
        sa.Column("role", sa.String(700), primary_key=True),
        sa.Column("member", NAME),
        required("token", sa.BigInteger),
        required("expires", sa.BigInteger),
        **OPTIONS,
    )
    op.create_table(
        "flowdsl_candidate",
        sa.Column("member", NAME, primary_key=True),
        required("roles", LONG),
        required("expires", sa.BigInteger),
        **OPTIONS,
    )
    once_each = ["namespace", "workflow", "foreign_id", *(column.name for column in unfinished)]
    index("flowdsl_run_unfinished", "flowdsl_run", once_each, "finished IS NULL", unique=True)
    index("flowdsl_run_foreign", "flowdsl_run", ["namespace", "workflow", "foreign_id", "created"])
    index("flowdsl_run_created", "flowdsl_run", ["namespace", "created", "run_id"])
    due = ["namespace", "topic", "priority", waiting[0].name if waiting else "due"]
    index("flowdsl_pending_due", "flowdsl_pending", due, "owner IS NULL AND due IS NOT NULL")
    index("flowdsl_pending_owner", "flowdsl_pending", ["namespace", "owner"], "owner IS NOT NULL")
    index("flowdsl_pending_run", "flowdsl_pending", ["run_id"], "kind != 0")
    index("flowdsl_item_due", "flowdsl_item", ["namespace", "kind", "due"], "due IS NOT NULL")
