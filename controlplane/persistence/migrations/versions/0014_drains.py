"""Executions whose predecessor's resource runs on for a while after the switch."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0014"
down_revision: str | None = "0013"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("executions", sa.Column("drains_until", sa.DateTime(timezone=True)))
