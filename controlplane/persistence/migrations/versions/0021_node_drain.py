"""What a node gives up, as an operator has asked. An older release chooses such a node as before."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0021"
down_revision: str | None = "0020"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("nodes", sa.Column("drain", sa.Text()))
