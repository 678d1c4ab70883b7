"""Reads that go past SQLAlchemy give the rows that it would give, and fail as it does."""

import asyncio

import pytest
from sqlalchemy import bindparam, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.persistence import tables, tenants
from controlplane.persistence.database import Bounds, open_database
from controlplane.persistence.lookups import Lookup
from tests.integration.api_replica import api_on
from tests.integration.owner import create, spec
from tests.statements import statements

FILTERED = "/v1/tenants?status=ready&status=failed&label=a%3Db,c+notin+(d)&name_prefix=a&lagging=true"
ROWS = select(tables.tenants, tables.executions.c.input, func.clock_timestamp().is_not(None).label("told")).join(
    tables.executions, tables.executions.c.tenant_id == tables.tenants.c.id
)


async def test_the_rows_are_those_of_the_slow_way(database: AsyncEngine) -> None:
    tenant, _ = await create(database, "acme", spec())
    query = ROWS.where(tables.tenants.c.id == bindparam("key"))
    async with database.connect() as connection:
        expected = (await connection.execute(query, {"key": tenant.id})).one()._asdict()
    found = await Lookup(query).all(database, key=tenant.id)
    assert found == [expected]
    assert {name: type(value) for name, value in found[0].items() if name != "id"} == {
        name: type(value) for name, value in expected.items() if name != "id"
    }
    assert await Lookup(query.limit(1)).first(database, key=tenant.id) == expected


async def ended(database: AsyncEngine, pid: int) -> None:
    """Until the server has no session of that pid any more."""
    query = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid")
    while True:
        async with database.connect() as connection:
            if (await connection.execute(query, {"pid": pid})).scalar_one() == 0:
                return
        await asyncio.sleep(0.01)


async def test_a_connection_that_is_gone_is_replaced(database: AsyncEngine, database_url: str) -> None:
    await create(database, "acme", spec())
    other = open_database(database_url, pool=1)
    try:
        async with other.connect() as connection:
            pid = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        async with database.connect() as connection:
            await connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        await ended(database, pid)
        with pytest.raises(DBAPIError) as caught:
            await tenants.get(other, "acme")
        assert caught.value.connection_invalidated
        assert await tenants.get(other, "acme") is not None
    finally:
        await other.dispose()


async def test_an_error_of_the_server_is_told_as_always(database_url: str) -> None:
    impatient = open_database(database_url, pool=1, bounds=Bounds(statement=50))
    try:
        with pytest.raises(DBAPIError, match="57014"):
            await Lookup(select(func.pg_sleep(bindparam("long")).label("slept"))).all(impatient, long=60.0)
        assert (await Lookup(select(func.now().label("at"))).first(impatient)) is not None
    finally:
        await impatient.dispose()


async def test_a_get_and_a_list_are_one_statement_each(database_url: str) -> None:
    async with api_on(database_url) as api:
        await api.create()
        await api.client.get("/v1/tenants/acme")  # the token is known from now on
        for path in ("/v1/tenants/acme", "/v1/tenants", "/v1/tenants?label=tier&limit=10", FILTERED):
            await api.replica.views.close()  # its connection is seen when it is taken
            async with statements(api.replica.database) as asked:
                assert (await api.client.get(path)).status_code == 200
            assert len([one for one in asked if "FROM tenants" in one]) == 1, asked
