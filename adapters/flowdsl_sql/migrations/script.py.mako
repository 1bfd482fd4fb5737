"""${message}."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Only add: old code goes on beside new code while a fleet is being renewed."""
    ${upgrades if upgrades else "pass"}
