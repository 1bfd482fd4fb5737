"""Indexes that find old finished runs, and runs in a state. Code of version 0002 goes on working, and does without them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    finished = sa.text("finished IS NOT NULL")
    op.create_index(
        "flowdsl_run_finished",
        "flowdsl_run",
        ["namespace", "workflow", "finished"],
        postgresql_where=finished,
        sqlite_where=finished,
    )
    op.create_index("flowdsl_run_state", "flowdsl_run", ["namespace", "state", "created", "run_id"])
