"""The machines of a cluster, and the one that was chosen for an execution and its resource."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0018"
down_revision: str | None = "0017"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "nodes",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("cluster_id", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("head", sa.Boolean(), nullable=False),
        sa.Column("labels", JSONB(), nullable=False),
        sa.Column("platforms", JSONB(), nullable=False),
        sa.Column("cpus", sa.Double(), nullable=False),
        sa.Column("alive", sa.Boolean(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), server_default=sa.func.clock_timestamp(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.add_column("executions", sa.Column("node", sa.Text()))
    op.add_column("placements", sa.Column("node", sa.Text()))
