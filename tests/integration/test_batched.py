"""Many reads by one statement: each caller gets its own row, or its own error, as if it had asked alone."""

import asyncio
from collections.abc import AsyncIterator, Collection

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool

from controlplane.persistence import batched, tenants
from controlplane.persistence.database import Bounds, open_database
from controlplane.persistence.tenants import Views
from tests.integration.owner import create, spec
from tests.statements import statements

NAMES = ("one", "two", "three")
READ = "tenants.name = any"


@pytest_asyncio.fixture
async def views(database: AsyncEngine) -> AsyncIterator[Views]:
    for name in NAMES:
        await create(database, name, spec())
    made = Views(database)
    yield made
    await made.close()


def reads(asked: list[str]) -> list[str]:
    return [one for one in asked if READ in one.lower()]


def out(database: AsyncEngine) -> int:
    """The number of connections that the pool has given out."""
    pool = database.sync_engine.pool
    assert isinstance(pool, QueuePool)
    return pool.checkedout()


async def test_those_who_ask_together_share_a_statement(views: Views) -> None:
    async with statements(views.database) as asked:
        found = await asyncio.gather(*(views.get(name) for name in NAMES * 5))
    assert [view and view.tenant.name for view in found] == list(NAMES * 5)
    assert len(reads(asked)) == 1, asked


async def test_what_is_found_is_what_one_alone_finds(views: Views) -> None:
    alone = [await tenants.get(views.database, name) for name in NAMES]
    assert await asyncio.gather(*(views.get(name) for name in NAMES)) == alone
    assert await views.get("nobody") is None
    assert alone[0] is not None
    assert await views.get(str(alone[0].tenant.id)) == alone[0]


async def test_a_deleted_tenant_is_found_as_by_one_alone(views: Views) -> None:
    async with views.database.begin() as connection:
        await connection.execute(text("UPDATE tenants SET status = 'deleted', deleted_at = now() WHERE name = 'one'"))
    found, other = await asyncio.gather(views.get("one"), views.get("two"))
    assert found is not None
    assert found == await tenants.get(views.database, "one")
    assert other is not None


async def test_whoever_comes_while_a_statement_is_under_way_is_answered_by_the_next(
    views: Views, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batched, "LONG_SECONDS", 60.0)
    async with statements(views.database) as asked:
        async with views.database.begin() as connection:
            await connection.execute(text("LOCK TABLE tenants IN ACCESS EXCLUSIVE MODE"))
            first = asyncio.create_task(views.get("one"))
            await blocked(views.database)
            others = [asyncio.create_task(views.get(name)) for name in ("one", "two")]
            await asyncio.sleep(0)
        assert None not in await asyncio.gather(first, *others)
    assert len(reads(asked)) == 2, asked


async def test_nobody_waits_long_for_a_row_of_somebody_else(views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batched, "LONG_SECONDS", 0.0)
    async with views.database.begin() as connection:
        await connection.execute(text("LOCK TABLE tenants IN ACCESS EXCLUSIVE MODE"))
        first = asyncio.create_task(views.get("one"))
        await blocked(views.database)
        second = asyncio.create_task(views.get("two"))
        await blocked(views.database, 2)  # on a connection of its own
    assert None not in await asyncio.gather(first, second)


async def test_a_statement_that_hangs_is_given_up(views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batched, "PATIENCE_SECONDS", 0.05)
    async with views.database.begin() as connection:
        await connection.execute(text("LOCK TABLE tenants IN ACCESS EXCLUSIVE MODE"))
        caller = asyncio.create_task(views.get("one"))
        await blocked(views.database, besides=await blocked(views.database))
    found = await caller
    assert found is not None
    assert found.tenant.name == "one"


async def test_each_gets_the_error_that_it_gets_alone(views: Views, database_url: str) -> None:
    impatient = open_database(database_url, pool=3, bounds=Bounds(statement=50))
    own = Views(impatient)
    try:
        async with views.database.begin() as connection:
            await connection.execute(text("LOCK TABLE tenants IN ACCESS EXCLUSIVE MODE"))
            caught = await asyncio.gather(own.get("one"), own.get("two"), return_exceptions=True)
        assert [isinstance(one, DBAPIError) and "57014" in str(one) for one in caught] == [True, True], caught
        assert await own.get("one") is not None
    finally:
        await own.close()
        await impatient.dispose()


async def test_a_caller_that_leaves_takes_nothing_from_the_others(views: Views) -> None:
    async with views.database.begin() as connection:
        await connection.execute(text("LOCK TABLE tenants IN ACCESS EXCLUSIVE MODE"))
        callers = [asyncio.create_task(views.get(name)) for name in NAMES]
        await blocked(views.database)
        callers[0].cancel()
        await asyncio.gather(callers[0], return_exceptions=True)
    found = await asyncio.gather(*callers[1:])
    assert [view and view.tenant.name for view in found] == ["two", "three"]


async def test_the_connection_goes_back_to_the_pool(views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batched, "HELD_SECONDS", 0.01)
    before = out(views.database)
    assert await views.get("one") is not None
    await returned(views.database, before)
    assert await views.get("two") is not None
    await views.close()
    assert out(views.database) == before


async def returned(database: AsyncEngine, count: int) -> None:
    """Until the pool has given out no more than so many connections."""
    while True:
        if out(database) <= count:
            return
        await asyncio.sleep(0.005)


async def blocked(database: AsyncEngine, count: int = 1, besides: Collection[int] = ()) -> set[int]:
    """Until so many sessions wait for a lock, besides those; their pids."""
    query = text("SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")
    while True:
        async with database.connect() as connection:
            pids = set((await connection.execute(query)).scalars()) - set(besides)
            if len(pids) >= count:
                return pids
        await asyncio.sleep(0.005)
