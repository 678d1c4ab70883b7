"""An index on a table that is in use: built beside the writes, however long that takes."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op


def create(name: str, table: str, columns: Sequence[str], *, where: str | None = None) -> None:
    """Commits what the migration did before it, and waits for those who use the table, however long that takes. An
    index that an earlier attempt left half built is built again."""
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        op.drop_index(name, table, postgresql_concurrently=True, if_exists=True)
        op.create_index(
            name,
            table,
            columns,
            postgresql_concurrently=True,
            postgresql_where=None if where is None else sa.text(where),
        )
        op.execute("RESET lock_timeout")
