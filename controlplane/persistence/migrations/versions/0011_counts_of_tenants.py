"""Who created a tenant, and how many live tenants there are: in all, and of each token.

A trigger counts, so that every release and every way in which a tenant comes and goes is counted. A row of
`tenant_counts` stays locked until the transaction ends: whoever creates a tenant reads a number that nobody changes."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_COUNT = """
    CREATE FUNCTION landlord_count_tenants(of_token uuid, change bigint) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        -- All who create tenants take turns with this row, as with the event lock: whoever stands still with it is
        -- ended, and the others wait longer than that, however impatient they are with rows.
        PERFORM set_config('idle_in_transaction_session_timeout', '5000', true);
        PERFORM set_config('lock_timeout', '10000', true);
        INSERT INTO tenant_counts AS counted (scope, live) VALUES ('all', change)
        ON CONFLICT (scope) DO UPDATE SET live = counted.live + change;
        IF of_token IS NOT NULL THEN
            INSERT INTO tenant_counts AS counted (scope, live) VALUES (of_token::text, change)
            ON CONFLICT (scope) DO UPDATE SET live = counted.live + change;
        END IF;
    END
    $$
"""
_MANY = """
    CREATE FUNCTION landlord_tenants_{what}() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM landlord_count_tenants(created_by, change)
        FROM (
            SELECT created_by, {sign}count(*) AS change FROM {what} WHERE deleted_at IS NULL
            GROUP BY created_by ORDER BY created_by
        ) AS counted;
        RETURN NULL;
    END
    $$
"""
_ONE = """
    CREATE FUNCTION landlord_tenant_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM landlord_count_tenants(NEW.created_by, CASE WHEN NEW.deleted_at IS NULL THEN 1 ELSE -1 END);
        RETURN NULL;
    END
    $$
"""


def upgrade() -> None:
    op.add_column("tenants", sa.Column("created_by", sa.UUID()))
    op.create_table(
        "tenant_counts",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("live", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("scope"),
    )
    # Tenants from before count in all only. Nobody creates one meanwhile: the new column holds a lock on the table.
    op.execute("INSERT INTO tenant_counts SELECT 'all', count(*) FROM tenants WHERE deleted_at IS NULL")
    op.execute(_COUNT)
    op.execute(_MANY.format(what="added", sign=""))
    op.execute(_MANY.format(what="removed", sign="-"))
    op.execute(_ONE)
    op.execute(
        "CREATE TRIGGER landlord_tenants_added AFTER INSERT ON tenants REFERENCING NEW TABLE AS added "
        "FOR EACH STATEMENT EXECUTE FUNCTION landlord_tenants_added()"
    )
    op.execute(
        "CREATE TRIGGER landlord_tenants_removed AFTER DELETE ON tenants REFERENCING OLD TABLE AS removed "
        "FOR EACH STATEMENT EXECUTE FUNCTION landlord_tenants_removed()"
    )
    op.execute(
        "CREATE TRIGGER landlord_tenant_deleted AFTER UPDATE OF deleted_at ON tenants FOR EACH ROW "
        "WHEN ((OLD.deleted_at IS NULL) <> (NEW.deleted_at IS NULL)) EXECUTE FUNCTION landlord_tenant_deleted()"
    )
