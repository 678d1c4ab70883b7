"""The request that caused an execution, for the lines of the log about it."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0017"
down_revision: str | None = "0016"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("executions", sa.Column("request_id", sa.Text(), nullable=True))
