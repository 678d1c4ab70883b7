"""Statements that go past SQLAlchemy fail as its own do, and belong to its transactions."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from controlplane.persistence.database import Bounds, open_database, single
from controlplane.persistence.driver import fetch
from tests.integration.api_replica import until
from tests.statements import statements

ADD = "INSERT INTO ours (id, said) VALUES ($1, $2)"


@pytest_asyncio.fixture
async def ours(database_url: str) -> AsyncIterator[AsyncEngine]:
    """An impatient engine on a database with a table of the test's own, which has one row."""
    database = open_database(database_url, pool=2, bounds=Bounds(lock=50, statement=200))
    async with database.begin() as connection:
        await connection.execute(text("CREATE TABLE ours (id integer PRIMARY KEY, said text CHECK (said <> 'no'))"))
        await connection.execute(text("INSERT INTO ours VALUES (1, 'a secret')"))
    yield database
    await database.dispose()


async def past(connection: AsyncConnection, sql: str, values: Sequence[Any]) -> object:
    return await fetch(connection, sql, values)


async def through(connection: AsyncConnection, sql: str, values: Sequence[Any]) -> object:
    return await connection.exec_driver_sql(sql, tuple(values))


async def error_of(way: Any, database: AsyncEngine, sql: str, *values: Any) -> tuple[Any, ...]:
    """What there is to know of the error, which is one of SQLAlchemy's."""
    with pytest.raises(DBAPIError) as caught:
        async with database.begin() as connection:
            await way(connection, sql, values)
    error = caught.value
    cause = getattr(error.orig, "__cause__", None)
    return type(error), str(error), type(error.orig), str(error.orig), type(cause), error.connection_invalidated


async def count(database: AsyncEngine) -> int:
    async with database.connect() as connection:
        return int((await connection.execute(text("SELECT count(*) FROM ours"))).scalar_one())


@pytest.mark.parametrize(
    ("sql", "values"),
    [
        pytest.param(ADD, (1, "another secret"), id="there is one"),
        pytest.param(ADD, (2, "no"), id="refused by a check"),
        pytest.param(ADD, ("a secret", "yes"), id="not of its type"),
        pytest.param(ADD, (2,), id="too few values"),
        pytest.param("SELECT nothing FROM ours", (), id="no such column"),
        pytest.param("SELECT FROM WHERE", (), id="no SQL"),
        pytest.param("SELECT 1 / (id - 1) FROM ours", (), id="by zero"),
        pytest.param("SELECT pg_sleep(60)", (), id="takes too long"),
        pytest.param("SELECT pg_terminate_backend(pg_backend_pid())", (), id="the session ends"),
    ],
)
async def test_an_error_is_that_of_the_long_way(ours: AsyncEngine, sql: str, values: tuple[Any, ...]) -> None:
    expected = await error_of(through, ours, sql, *values)
    found = await error_of(past, ours, sql, *values)
    assert found == expected
    assert "secret" not in found[1]
    assert await count(ours) == 1


async def test_a_wait_for_a_lock_ends_as_on_the_long_way(ours: AsyncEngine) -> None:
    async with ours.begin() as holder:
        await holder.execute(text("LOCK TABLE ours IN ACCESS EXCLUSIVE MODE"))
        expected = await error_of(through, ours, ADD, 2, "yes")
        assert await error_of(past, ours, ADD, 2, "yes") == expected


async def test_a_server_that_takes_no_writes_loses_its_connections(ours: AsyncEngine) -> None:
    async with ours.connect() as connection:
        await connection.execute(text("SET TRANSACTION READ ONLY"))
        with pytest.raises(DBAPIError) as caught:
            await fetch(connection, ADD, (2, "yes"))
    assert caught.value.connection_invalidated


async def test_it_is_committed_and_rolled_back_with_the_transaction(ours: AsyncEngine) -> None:
    async with statements(ours) as asked, ours.begin() as connection:
        assert await fetch(connection, f"{ADD} RETURNING id", (2, "yes")) == [(2,)]
        assert (await connection.execute(text("SELECT count(*) FROM ours"))).scalar_one() == 2
    # The driver tells of a statement a turn of the loop later.
    assert sorted(one.split()[0].rstrip(";") for one in asked) == ["BEGIN", "COMMIT", "INSERT", "SELECT"]
    async with ours.connect() as connection, connection.begin() as transaction:
        await fetch(connection, ADD, (3, "yes"))
        await transaction.rollback()
    assert await count(ours) == 2


async def test_one_statement_alone_needs_no_transaction(ours: AsyncEngine) -> None:
    async with statements(ours) as asked, single(ours) as connection:
        await fetch(connection, ADD, (2, "yes"))
    assert [one.split()[0] for one in asked] == ["INSERT"]
    assert await count(ours) == 2


async def test_a_statement_that_is_left_takes_its_connection_along(ours: AsyncEngine) -> None:
    connections: list[AsyncConnection] = []

    async def slow() -> None:
        async with ours.begin() as connection:
            connections.append(connection)
            await connection.execute(text("SET LOCAL statement_timeout = 0"))
            await fetch(connection, ADD, (2, "yes"))
            await fetch(connection, "SELECT pg_sleep(60)", ())

    leaving = asyncio.create_task(slow())
    async with ours.connect() as connection:
        asleep = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")

        async def sleeps() -> bool:
            return (await connection.execute(asleep)).scalar_one() == 1

        await until(sleeps)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert connections[0].invalidated or connections[0].closed
    assert await count(ours) == 1
