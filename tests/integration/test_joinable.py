"""The cluster that a machine may join, as the database has it."""

from dataclasses import replace

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from controlplane.persistence import bootstrap, clusters, leases, tables
from controlplane.persistence.clusters import Head, Joinable

HEAD = Head("10.0.0.1", 8000, 24000)


async def up(url: str, home: str = "/h@a") -> str:
    return await bootstrap.prepare(url, home=home, build="1", admin_token=None)


async def test_it_is_the_live_one_whose_head_is_there(database_url: str, database: AsyncEngine) -> None:
    before = await up(database_url)
    await clusters.announce(database, before, HEAD, build="1")
    again = await up(database_url)
    assert await clusters.joinable(database, "10.0.0.1", 8000) is None
    await clusters.announce(database, again, replace(HEAD, gcs=24032), build="2")
    found = await clusters.joinable(database, "10.0.0.1", 8000)
    assert found == Joinable(again, "2", replace(HEAD, gcs=24032))
    assert await clusters.joinable(database, "10.0.0.2", 8000) is None
    assert await clusters.joinable(database, "10.0.0.1", 8001) is None


async def test_one_that_is_silent_is_none(database_url: str, database: AsyncEngine) -> None:
    cluster_id = await up(database_url)
    await clusters.announce(database, cluster_id, HEAD, build="1")
    async with database.begin() as connection:
        await connection.execute(update(tables.clusters).values(heartbeat_at=leases.from_now(-3600)))
    assert await clusters.joinable(database, "10.0.0.1", 8000) is None


async def test_a_database_of_something_else_has_none(empty_database_url: str) -> None:
    database = create_async_engine(empty_database_url)
    assert await clusters.joinable(database, "10.0.0.1", 8000) is None
    await database.dispose()
