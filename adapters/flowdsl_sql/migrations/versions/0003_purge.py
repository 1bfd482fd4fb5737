"""The index that finds old finished runs. Code of version 0002 goes on working, and does without it."""

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
