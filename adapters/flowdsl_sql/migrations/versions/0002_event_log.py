"""The event log: what the SQL event streamer keeps. Only new tables, so code of version 0001 goes on working."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"
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
TOPIC = sa.String(480)
LONG = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
BYTES = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")


def required(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def upgrade() -> None:
    op.create_table("flowdsl_topic", sa.Column("topic", TOPIC, primary_key=True), required("head", sa.BigInteger), **OPTIONS)
    op.create_table(
        "flowdsl_event",
        sa.Column("topic", TOPIC, primary_key=True),
        sa.Column("place", sa.BigInteger, primary_key=True, autoincrement=False),
        required("event", BYTES),
        required("created", sa.BigInteger),
        **OPTIONS,
    )
    op.create_table(
        "flowdsl_reader",
        sa.Column("name", NAME, primary_key=True),
        sa.Column("topic", TOPIC, primary_key=True),
        required("next_place", sa.BigInteger),
        **OPTIONS,
    )
    op.create_table(
        "flowdsl_taken",
        sa.Column("taken_id", NAME, primary_key=True),
        required("name", NAME),
        required("topic", TOPIC),
        required("reader", NAME),
        required("expires", sa.BigInteger),
        required("places", LONG),
        **OPTIONS,
    )
    op.create_index("flowdsl_taken_expires", "flowdsl_taken", ["name", "topic", "expires"])
