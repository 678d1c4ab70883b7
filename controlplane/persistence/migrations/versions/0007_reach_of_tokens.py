"""Tokens that reach only some tenants, and when a token was last used.

A release before this one knows no reach. It would take a narrowed token for one without bounds; so the hash of a
narrowed token stands in another form, in which that release does not find it (`tokens.stored_hash`)."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    for name in ("name_prefix", "selector"):
        op.add_column("tokens", sa.Column(name, sa.Text(), server_default="", nullable=False))
    op.add_column("tokens", sa.Column("last_used_at", sa.DateTime(timezone=True)))
