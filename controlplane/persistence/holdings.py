"""What a database holds, for a backup's manifest; and whether it is empty, for a restore."""

from sqlalchemy import func, inspect, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.errors import SchemaTooNew, SettingsError
from controlplane.persistence import tables
from controlplane.persistence.compatibility import WRITES
from controlplane.persistence.database import single


async def holdings(database: AsyncEngine) -> dict[str, str | int]:
    """`schema`, `rows_readable_by`, `installation` (its id), `tenants` (not deleted), `at`. Raises SettingsError if no
    release has prepared the database."""
    table = tables.installation.c
    live = select(func.count()).select_from(tables.tenants).where(tables.tenants.c.deleted_at.is_(None))
    query = select(
        select(func.max(text("version_num"))).select_from(text("alembic_version")).scalar_subquery().label("schema"),
        table.rows_readable_by,
        table.id,
        live.scalar_subquery().label("tenants"),
        func.clock_timestamp().label("at"),
    )
    if not await prepared(database):
        raise SettingsError("there is nothing to back up: no `landlord up` has prepared the database")
    async with single(database) as connection:
        row = (await connection.execute(query)).one()
    return {
        "schema": row.schema,
        "rows_readable_by": row.rows_readable_by,
        "installation": str(row.id),
        "tenants": row.tenants,
        "at": row.at.isoformat(timespec="seconds"),
    }


async def prepared(database: AsyncEngine) -> bool:
    """True if a release has made its tables there."""
    async with single(database) as connection:
        return await connection.run_sync(lambda sync: inspect(sync).has_table(tables.installation.name))


def refuse_newer(schema: str, rows_readable_by: int) -> None:
    """Raises SchemaTooNew if this release cannot read such rows."""
    if rows_readable_by > WRITES:
        raise SchemaTooNew(
            f"the backup is of schema {schema}: its rows are of number {rows_readable_by}, and this release reads up "
            f"to {WRITES}; use the release that made it, or a newer one"
        )
