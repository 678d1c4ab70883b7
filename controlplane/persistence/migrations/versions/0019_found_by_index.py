"""Indexes for what each sweep asks: whose lease is over, and which resources serve nobody."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0019"
down_revision: str | None = "0018"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_index("tenants_leased", "tenants", ["lease_owner"], postgresql_where=sa.text("lease_owner IS NOT NULL"))
    op.create_index(
        "tenants_serving", "tenants", ["serving_execution"], postgresql_where=sa.text("serving_execution IS NOT NULL")
    )
    op.create_index(
        "placements_held", "placements", ["execution_id"], postgresql_where=sa.text("state IN ('intended', 'placed')")
    )
