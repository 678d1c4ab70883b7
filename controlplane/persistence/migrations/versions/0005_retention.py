"""What the removal of old rows looks by, and which releases can read the rows."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from controlplane.persistence.migrations import indexes

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    for name in ("rows_written", "rows_readable_by"):
        op.add_column("installation", sa.Column(name, sa.Integer(), server_default="1", nullable=False))
    indexes.create("executions_age", "executions", ["tenant_id", "created_at"])
    indexes.create("placements_tenant", "placements", ["tenant_id", "provider", "generation", "run"])
    indexes.create("tenants_deleted", "tenants", ["deleted_at"], where="deleted_at IS NOT NULL")
