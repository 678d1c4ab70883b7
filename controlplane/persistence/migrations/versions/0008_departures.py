"""How often in a row the owners of a tenant left because their turns failed, and where they failed."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from controlplane.persistence.migrations import indexes

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("tenants", sa.Column("departures", sa.Integer(), server_default="0", nullable=False))
    op.add_column("tenants", sa.Column("failing_at", sa.Text()))
    indexes.create("tenants_failing", "tenants", ["id"], where="departures > 0")
