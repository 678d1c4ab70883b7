"""Executions that pull their image even if the platform has one."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("executions", sa.Column("fresh", sa.Boolean(), server_default="false", nullable=False))
