"""Executions that restart what serves, in place. An older release takes such a one for a redeploy."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0016"
down_revision: str | None = "0015"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("executions", sa.Column("in_place", sa.Boolean(), server_default="false", nullable=False))
