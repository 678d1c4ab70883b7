"""No question to the rows costs more because much was done before: a million events, 10,000 executions of one tenant.

Cost is counted in blocks that the database reads, found in memory or not: that does not depend on the machine.
"""

from collections.abc import Coroutine
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.persistence import events

TENANT = UUID("0190c8c6-0000-7000-8000-00009f8e7d6c")


async def blocks(database: AsyncEngine, work: Coroutine[Any, Any, Any]) -> int:
    """How many blocks of tables and indexes `work` reads."""

    async def count() -> int:
        async with database.connect() as connection:
            return int(
                (
                    await connection.execute(
                        text(
                            "SELECT sum(heap_blks_read + heap_blks_hit + coalesce(idx_blks_read, 0) "
                            "+ coalesce(idx_blks_hit, 0)) FROM pg_statio_user_tables"
                        )
                    )
                ).scalar_one()
            )

    await database.dispose()  # a session's counts are there for others when it ends
    before = await count()
    await work
    await database.dispose()
    return await count() - before


async def a_million_events(database: AsyncEngine) -> None:
    """Of yesterday; each tenth is one tenant's. Without their hashes, which take longer than the test."""
    async with database.begin() as connection:
        await connection.execute(text("ALTER TABLE events DISABLE TRIGGER USER"))
        await connection.execute(
            text(
                "INSERT INTO events (type, status, tenant_id, at) "
                "SELECT 'tenant.status', 'degraded', CASE WHEN n % 10 = 0 THEN CAST(:tenant AS uuid) END, "
                "now() - interval '1 day' FROM generate_series(1, 1000000) AS n"
            ),
            {"tenant": TENANT},
        )


async def test_the_trail(database: AsyncEngine) -> None:
    await a_million_events(database)
    assert await blocks(database, events.prune(database, older_than_seconds=90 * 86400)) < 1000
