"""A migration of a database with rows in it: what an earlier release wrote is taken in."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.persistence import bootstrap, tables
from controlplane.persistence.database import open_database
from tests.integration.owner import create, spec

TENANT = """
    INSERT INTO tenants (id, name, spec, status, current_execution, deleted_at)
    SELECT gen_random_uuid(), :name || number, '{}', :status, 'none', CASE WHEN :deleted THEN now() END
    FROM generate_series(1, :count) AS number
"""


@pytest_asyncio.fixture
async def empty(empty_database_url: str) -> AsyncIterator[AsyncEngine]:
    database = open_database(empty_database_url, pool=2)
    yield database
    await database.dispose()


def upgrade(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(bootstrap.__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


async def live(database: AsyncEngine) -> dict[str, int]:
    async with database.connect() as connection:
        rows = await connection.execute(select(tables.tenant_counts.c.scope, tables.tenant_counts.c.live))
        return {row.scope: row.live for row in rows}


async def test_tenants_from_before_they_were_counted_count(empty: AsyncEngine) -> None:
    async with empty.connect() as connection:
        await connection.run_sync(upgrade, "0010")
        for name, status, deleted, count in (("live", "ready", False, 3), ("gone", "deleted", True, 2)):
            values = {"name": name, "status": status, "deleted": deleted, "count": count}
            await connection.execute(text(TENANT), values)
        await connection.commit()
    await bootstrap.migrate(empty)
    assert await live(empty) == {"all": 3}
    await create(empty, "acme", spec())
    assert await live(empty) == {"all": 4}
    async with empty.begin() as connection:
        await connection.execute(text("UPDATE tenants SET deleted_at = now() WHERE name = 'live1'"))
    assert await live(empty) == {"all": 3}, "those from before are taken off as well"
    async with empty.connect() as connection:
        makers = await connection.execute(select(tables.tenants.c.created_by).where(tables.tenants.c.name == "live2"))
        assert makers.scalar_one() is None
