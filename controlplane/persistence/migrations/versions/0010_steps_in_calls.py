"""The platform whose answer a running step waits for, and since when."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("steps", sa.Column("in_call_to", sa.Text(), nullable=True))
    op.add_column("steps", sa.Column("in_call_since", sa.DateTime(timezone=True), nullable=True))
