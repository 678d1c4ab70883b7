"""What fails in the database is logged by its kind: no value of a parameter or a row stands in any text of it."""

import asyncio
import logging
import traceback

import httpx
import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from controlplane.model import TenantSpec
from controlplane.persistence.discretion import sqlstate
from controlplane.persistence.tables import heartbeats
from tests.integration.api_replica import Api, api_on, tenant, until

SECRET = "hunter2"


async def _twice(connection: AsyncConnection) -> None:
    """The driver's DETAIL quotes the key."""
    for _ in range(2):
        await connection.execute(insert(heartbeats).values(name=SECRET, cluster_id="c"))


async def _unencodable(connection: AsyncConnection) -> None:
    """The driver refuses it before the server sees it, and quotes it."""
    await connection.execute(text("SELECT CAST(:x AS text)"), {"x": f"{SECRET}\ud800"})


async def _no_number(connection: AsyncConnection) -> None:
    """The server's first line quotes it."""
    await connection.execute(text("SELECT CAST(CAST(:x AS text) AS integer)"), {"x": SECRET})


async def _ended(connection: AsyncConnection) -> None:
    await connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid()), CAST(:x AS text)"), {"x": SECRET})


@pytest.mark.parametrize(
    ("failing", "state"),
    [(_twice, "23505"), (_unencodable, "22000"), (_no_number, "22P02"), (_ended, "08003")],
    ids=["unique", "unencodable", "not-a-number", "ended"],
)
async def test_no_error_of_a_statement_quotes_a_value(database: AsyncEngine, failing: object, state: str) -> None:
    with pytest.raises(DBAPIError) as caught:
        async with database.begin() as connection:
            await failing(connection)  # type: ignore[operator]
    told = "".join(traceback.format_exception(caught.value))
    assert SECRET not in told
    assert SECRET not in repr(vars(caught.value.orig))
    assert state in told
    assert sqlstate(caught.value) == state


async def test_which_constraint_it_was_is_no_secret(database: AsyncEngine) -> None:
    with pytest.raises(IntegrityError, match="heartbeats_pkey"):
        async with database.begin() as connection:
            await _twice(connection)


async def test_a_spec_that_is_not_valid_is_not_quoted() -> None:
    with pytest.raises(ValueError, match="heal") as caught:
        TenantSpec.model_validate({"compute": {"provider": "fake", "config": {}}, "heal": SECRET})
    assert SECRET not in str(caught.value)


async def secretive(api: Api) -> httpx.Response:
    config = {"image": "web:1", "env": {"DB_PASSWORD": SECRET}}
    return await api.client.post("/v1/tenants", json=tenant(spec={"compute": {"provider": "cloud", "config": config}}))


async def read_only(api: Api, state: str) -> None:
    """From now on, for all sessions of the replica: those that it has are ended."""
    async with api.database.connect() as connection:
        autocommit = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await autocommit.execute(text("SET default_transaction_read_only = off"))
        name = api.database.url.database
        await autocommit.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = {state}"))
        await autocommit.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name = 'landlord api'"
            )
        )

    async def answers() -> bool:
        return (await api.client.get("/v1/tenants/none")).status_code == 404

    await until(answers)


async def test_a_database_that_is_read_only_is_unavailable_and_the_log_has_no_secret(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As after a failover, while the replica still talks to the old primary."""
    caplog.set_level(logging.DEBUG)
    async with api_on(database_url) as api:
        await read_only(api, "on")
        refused = await secretive(api)
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable"), refused.text
        assert int(refused.headers["retry-after"]) >= 1
        await read_only(api, "off")
        assert (await api.create()).status_code == 202
    assert "25006" in caplog.text
    assert SECRET not in caplog.text


async def test_a_connection_that_breaks_in_a_statement_tells_no_secret(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with api_on(database_url) as api:
        async with api.database.begin() as connection:
            await connection.execute(text("LOCK TABLE tenants IN EXCLUSIVE MODE"))
            waiting = asyncio.create_task(secretive(api))
            await api.blocked()
            await connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND application_name = 'landlord api' AND state = 'active'"
                )
            )
            answer = await waiting
        assert answer.status_code == 503
    assert SECRET not in caplog.text
