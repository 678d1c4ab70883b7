"""What comes thousands of times a second is planned by Postgres a few times on each connection, and not each time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import Pool

from controlplane.persistence.database import open_database, single
from providers.compute.fake import FakeCloud
from tests.fleet import insert_fleet
from tests.integration.api_replica import api_on, tenant
from tests.integration.owner import World, spec

TENANTS = 500
TIMES = 20
AT_FIRST = 5
"""Executions with a plan of their own; then Postgres knows what such a plan is worth (`plan_cache_mode`)."""
PLANS = """
    SELECT statement, custom_plans, generic_plans FROM pg_prepared_statements
"""


@pytest.fixture
def opened() -> Iterator[list[Any]]:
    """The driver's connections that were opened since."""
    connections: list[Any] = []

    def hear(connection: Any, record: object) -> None:
        connections.append(connection.driver_connection)

    event.listen(Pool, "connect", hear)
    yield connections
    event.remove(Pool, "connect", hear)


async def test_a_get_a_list_and_a_change_are_not_planned_each_time(
    database: AsyncEngine, database_url: str, opened: list[Any]
) -> None:
    await insert_fleet(database, TENANTS, spec("1"))
    async with database.connect() as connection:
        await connection.execute(text("ANALYZE"))
    async with api_on(database_url) as api:
        for number in range(TIMES):
            assert (await api.client.get(f"/v1/tenants/t-{number:06}")).status_code == 200
            first = await api.client.get("/v1/tenants", params={"limit": 10})
            cursor = first.json()["next_cursor"]
            assert (await api.client.get("/v1/tenants", params={"limit": 10, "cursor": cursor})).status_code == 200
            assert (await api.client.post("/v1/tenants", json=tenant(f"new-{number}"))).status_code == 202
            await api.end(f"new-{number}")
            change = {"labels": {"plan": "large"}, "spec": {"health": {"interval_seconds": 9}}}
            assert (await api.client.patch(f"/v1/tenants/new-{number}", json=change)).status_code == 202
        found = [row for one in opened if not one.is_closed() for row in await one.fetch(PLANS)]
    assert sum(row["generic_plans"] for row in found) > 4 * (TIMES - AT_FIRST)
    assert {row["statement"]: row["custom_plans"] for row in found if row["custom_plans"] > AT_FIRST} == {}


async def test_an_owner_plans_each_statement_once(database: AsyncEngine, database_url: str, tmp_path: Path) -> None:
    """It lives for an execution or two, and seldom asks the same thing five times."""
    world = World(database, database_url, tmp_path, FakeCloud())
    tenant = await world.create(spec("1"))
    async with world.owner(tenant) as owner:
        await world.settled(tenant, "ready")
        async with owner.database.connect() as connection:
            found = (await connection.execute(text(PLANS))).all()
    assert sum(row.generic_plans for row in found) > 20
    assert {row.statement: row.custom_plans for row in found if row.custom_plans} == {}


async def test_an_owner_asks_nothing_about_the_server(database_url: str) -> None:
    """Each of its four questions would be a round trip before the tenant's first."""
    database = open_database(database_url, pool=1, brief=True)
    async with single(database) as connection:
        found = (await connection.execute(text(PLANS))).all()
    async with database.connect() as connection:
        level = (await connection.execute(text("SHOW transaction_isolation"))).scalar_one()
    await database.dispose()
    assert ([row.statement.strip() for row in found], level) == ([PLANS.strip()], "read committed")
