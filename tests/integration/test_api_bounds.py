"""Bounds on specs, as clients meet them: what many patches add up to, and tenants that are older than a bound."""

from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
from sqlalchemy import select, update

from controlplane.api.spec_check import MAX_PART
from controlplane.persistence import tables
from tests.integration.api_replica import Api, api_on


@pytest_asyncio.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with api_on(database_url) as api:
        yield api


async def stored_spec(api: Api) -> dict[str, Any]:
    async with api.database.connect() as connection:
        spec: dict[str, Any] = (await connection.execute(select(tables.tenants.c.spec))).scalar_one()
        return spec


async def made_before_the_bounds(api: Api) -> None:
    """The tenant's row, as a build without bounds may have written it."""
    await api.create()
    spec = await stored_spec(api)
    spec["health"] |= {"interval_seconds": 0.001, "deadline_seconds": 86400}
    spec["compute"]["config"]["env"] = {f"A{i}": "x" * 300 for i in range(1500)}
    async with api.database.begin() as connection:
        await connection.execute(update(tables.tenants).values(spec=spec))
        await connection.execute(update(tables.executions).values(spec=spec))


async def patch(api: Api, body: Any) -> tuple[int, list[str]]:
    answer = await api.client.patch("/v1/tenants/acme", json=body)
    return answer.status_code, [error["loc"] for error in answer.json().get("errors", [])]


async def test_patches_add_up_to_no_more_than_one_body_may_hold(api: Api) -> None:
    assert (await api.create()).status_code == 202
    sizes = []
    for number in range(8):
        env = {f"A{number}{i}": "x" * 40_000 for i in range(2)}
        status, _ = await patch(api, {"spec": {"compute": {"config": {"env": env}}}})
        sizes.append(status)
    assert sizes[:2] == [202, 202]
    assert sizes[-1] == 400
    shown = (await api.client.get("/v1/tenants/acme")).text
    assert MAX_PART / 2 < len(shown) < MAX_PART + 10_000


async def test_a_tenant_older_than_the_bounds_is_read_and_kept(api: Api) -> None:
    await made_before_the_bounds(api)
    assert (await api.client.get("/v1/tenants")).json()["items"][0]["spec"]["health"]["interval_seconds"] == 0.001
    assert await patch(api, {"labels": {"tier": "gold"}}) == (200, [])
    assert (await api.client.post("/v1/tenants/acme/redeploy")).status_code == 202
    assert (await api.client.delete("/v1/tenants/acme")).status_code == 202


async def test_a_changed_spec_is_within_all_bounds(api: Api) -> None:
    await made_before_the_bounds(api)
    status, places = await patch(api, {"spec": {"compute": {"config": {"env": None}}}})
    assert (status, places) == (400, ["spec.health.interval_seconds", "spec.health.deadline_seconds"])
    mended = {"compute": {"config": {"env": None}}, "health": {"interval_seconds": 1, "deadline_seconds": 60}}
    assert await patch(api, {"spec": mended}) == (202, [])
