"""Each event names its token, and has a hash over itself and the hash of the one before.

The trigger runs under the event lock, which every inserter holds (see `transaction`), so the last row is the one
before. It forms the text of a row exactly as `controlplane.persistence.chain` does, which compares.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_COLUMNS = (
    "id::text",
    "type",
    "tenant_id::text",
    "tenant_name",
    "generation::text",
    "status",
    "execution_id",
    "trigger_source",
    "actor",
    "token_id::text",
    "request_id",
    "message",
    "data::text",
    "extract(epoch FROM {row}.at)::text",
)


def upgrade() -> None:
    op.add_column("events", sa.Column("token_id", sa.UUID()))
    op.add_column("events", sa.Column("hash", sa.Text()))
    # Older events have no hash: the chain begins after them.
    op.execute(
        "INSERT INTO heartbeats (name, cluster_id, detail) "
        "SELECT 'events-anchor', '', jsonb_build_object('through', coalesce(max(id), 0), 'hash', '') FROM events"
    )
    op.execute(f"""
        CREATE FUNCTION landlord_chain_event() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE
            before text;
        BEGIN
            SELECT hash INTO before
            FROM (SELECT id, hash FROM events ORDER BY id DESC LIMIT 1) AS newest
            WHERE id > (SELECT (detail ->> 'through')::bigint FROM heartbeats WHERE name = 'events-anchor');
            IF NOT FOUND THEN
                SELECT detail ->> 'hash' INTO before FROM heartbeats WHERE name = 'events-anchor';
            END IF;
            NEW.hash := encode(sha256(convert_to(coalesce(before, '') || {_text("NEW")}, 'UTF8')), 'hex');
            RETURN NEW;
        END
        $$
    """)
    op.execute(
        "CREATE TRIGGER landlord_chain_event BEFORE INSERT ON events "
        "FOR EACH ROW EXECUTE FUNCTION landlord_chain_event()"
    )


def _text(row: str) -> str:
    """The text of a row: each column with its length before it, `-` for none."""
    columns = [column.format(row=row) if "{row}" in column else f"{row}.{column}" for column in _COLUMNS]
    return " || ".join(f"coalesce(length({column}) || ':' || {column}, '-')" for column in columns)
