"""Old events are removed by a function of the owner's, so that the role that runs need not be able to.

It removes none that is younger than the bound which the owner recorded, whatever it is asked for."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0013"
down_revision: str | None = "0012"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column(
        "installation",
        sa.Column("events_kept_seconds", sa.Double(), server_default="0", nullable=False),
    )
    # The tables are those of this schema, whatever the caller's own search path and temporary tables are.
    op.execute("""
        DO $do$
        BEGIN
            EXECUTE format($create$
                CREATE FUNCTION landlord_prune_events(past bigint, through bigint, seconds double precision)
                RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = %I, pg_temp AS $body$
                DECLARE
                    removed bigint;
                BEGIN
                    DELETE FROM events
                    WHERE id > past AND id <= through AND at < clock_timestamp() - make_interval(
                        secs => greatest(seconds, (SELECT events_kept_seconds FROM installation))
                    );
                    GET DIAGNOSTICS removed = ROW_COUNT;
                    RETURN removed;
                END
                $body$
            $create$, current_schema());
        END
        $do$
    """)
    op.execute("REVOKE ALL ON FUNCTION landlord_prune_events(bigint, bigint, double precision) FROM PUBLIC")
