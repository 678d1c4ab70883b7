"""Steps that wait for something outside the tenant's own spec."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("steps", sa.Column("waits", sa.Integer(), server_default="0", nullable=False))
    op.add_column("steps", sa.Column("waits_for", sa.Text(), nullable=True))
