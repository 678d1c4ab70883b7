"""What `landlord doctor` tells, from rows, live actors and resources."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from sqlalchemy import func, insert, select, text

from controlplane.api import consistency
from controlplane.persistence import bootstrap, tables
from controlplane.ports import Origin, ProviderHealth, Resource, ResourceState
from tests.integration.api_replica import Api, api_on


@pytest_asyncio.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with api_on(database_url) as api:
        yield api


async def serve(api: Api, name: str = "acme", *, identity: str = "cloud-1") -> Resource:
    """As its owner: the tenant is ready, and this resource serves it."""
    created = (await api.create(name)).json()
    execution = created["workflow_execution_id"]
    await api.end(name)
    async with api.database.begin() as connection:
        await connection.execute(
            text("UPDATE tenants SET serving_execution = :execution WHERE name = :name"),
            {"execution": execution, "name": name},
        )
        await connection.execute(
            insert(tables.placements).values(
                execution_id=execution,
                tenant_id=UUID(created["id"]),
                platform="cloud",
                platform_identity=identity,
                generation=1,
                run=1,
                name=f"landlord-{name}",
                resource_id=f"r-{name}",
                state="placed",
            )
        )
        query = select(tables.executions.c.spec_hash).where(tables.executions.c.id == execution)
        spec_hash = (await connection.execute(query)).scalar_one()
    return await resource(api, name, UUID(created["id"]), execution, spec_hash)


async def resource(api: Api, name: str, tenant_id: UUID, execution: str, spec_hash: str = "hash") -> Resource:
    owner = await bootstrap.installation_id(api.database)
    origin = Origin(owner, name, tenant_id, 1, 1, execution, spec_hash)
    return Resource(f"r-{name}", f"landlord-{name}", origin, ResourceState.RUNNING, detail="exit code 1")


async def found(api: Api) -> list[tuple[str, Any, Any]]:
    answer = await api.client.get("/v1/admin/consistency")
    assert answer.status_code == 200, answer.text
    return [(item["kind"], item["tenant"], item["resource"]) for item in answer.json()["differences"]]


async def test_an_installation_as_it_should_be(api: Api) -> None:
    assert await found(api) == []
    api.cloud.resources = [await serve(api)]
    api.directory.actors = ["acme"]
    assert await found(api) == []


async def test_resources_that_should_not_be_there(api: Api) -> None:
    serving = await serve(api)
    stranger = await resource(api, "nobody", uuid4(), "tenant-nobody-provision-1-00000000")
    api.cloud.resources = [serving, stranger]
    assert await found(api) == [("orphan", "nobody", "r-nobody")]
    async with api.database.begin() as connection:
        await connection.execute(text("UPDATE tenants SET serving_execution = NULL, status = 'failed'"))
    assert await found(api) == [("leftover", "acme", "r-acme"), ("orphan", "nobody", "r-nobody")]


async def test_resources_that_should_be_there(api: Api) -> None:
    serving = await serve(api)
    assert await found(api) == [("missing_resource", "acme", "r-acme")]
    api.cloud.resources = [replace(serving, state=ResourceState.STOPPED)]
    assert await found(api) == [("stopped_resource", "acme", "r-acme")]
    api.cloud.state = ProviderHealth(False, "the sky is closed")
    assert await found(api) == [("unchecked", None, None)]


async def test_resources_that_are_not_what_they_should_be(api: Api) -> None:
    serving = await serve(api)
    changed = replace(serving, origin=replace(serving.origin, spec_hash="another"))
    api.cloud.resources = [changed]
    assert await found(api) == [("changed_resource", "acme", "r-acme")]
    api.cloud.resources = [replace(serving, id="r-copy", name="copy"), serving]
    assert await found(api) == [("duplicate", "acme", "r-copy")]


async def test_another_engine_is_reported_and_not_judged(api: Api) -> None:
    await serve(api, identity="cloud-2")
    assert await found(api) == [("other_engine", "acme", "r-acme")]


async def test_a_tenant_whose_provider_is_disabled_here_is_named(api: Api) -> None:
    """Nobody can say whether it is still served."""
    await serve(api)
    async with api.database.begin() as connection:
        await connection.execute(text("UPDATE placements SET provider = 'ecs'"))
    assert await found(api) == [("unchecked", "acme", "r-acme")]
    answer = await api.client.get("/v1/admin/consistency")
    assert "'ecs', which serves it, is not enabled" in answer.json()["differences"][0]["detail"]


async def test_work_and_owners(api: Api) -> None:
    await api.create()
    assert await found(api) == [("unowned_work", "acme", None)]
    # Work that is paused is not due: by the tenant's provider, by the engine that it has by default, by all.
    for scope in ({"provider": "cloud"}, {"provider": "embedded"}, {"all": True}):
        await api.client.post("/v1/admin/pause", json=scope)
        assert await found(api) == [], scope
        await api.client.post("/v1/admin/resume", json=scope)
    assert await found(api) == [("unowned_work", "acme", None)]
    api.directory.actors = ["acme", "ghost"]
    assert await found(api) == [("actor_without_tenant", "ghost", None)]
    api.directory.actors = None
    answer = await api.client.get("/v1/admin/consistency")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


async def test_an_effect_that_outlived_its_attempt(api: Api) -> None:
    """And a slow one is none."""
    execution = (await api.create()).json()["workflow_execution_id"]
    insert_step = insert(tables.steps).values(
        execution_id=execution, name="apply_compute", position=1, state="running", attempts=1, in_call_to="cloud"
    )
    async with api.database.begin() as connection:
        await connection.execute(insert_step.values(in_call_since=func.clock_timestamp() - timedelta(seconds=300)))
        await connection.execute(text("UPDATE executions SET state = 'running'"))
    kinds = [kind for kind, _, _ in await found(api)]
    assert "hung_effect" not in kinds
    async with api.database.begin() as connection:
        await connection.execute(text("UPDATE steps SET in_call_since = in_call_since - interval '1 hour'"))
    answer = (await api.client.get("/v1/admin/consistency")).json()["differences"]
    (hung,) = [item for item in answer if item["kind"] == "hung_effect"]
    assert hung["tenant"] == "acme"
    assert hung["detail"].startswith(f"apply_compute of {execution} is in a call to cloud since 20")
    (step,) = (await api.client.get(f"/v1/executions/{execution}")).json()["steps"]
    assert (step["in_call_to"], step["in_call_since"] is not None) == ("cloud", True)
    async with api.database.begin() as connection:
        await connection.execute(text("UPDATE executions SET state = 'cancelled', ended_at = now()"))
    assert "hung_effect" not in [kind for kind, _, _ in await found(api)], "it is over, whatever the platform does"


async def test_a_provider_that_hangs_is_unchecked(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent() -> str:
        await asyncio.Event().wait()
        raise AssertionError("never")

    monkeypatch.setattr(consistency, "LISTING_SECONDS", 0.1)
    monkeypatch.setattr(api.cloud, "identity", silent)
    answer = (await api.client.get("/v1/admin/consistency")).json()["differences"]
    assert any(item["kind"] == "unchecked" and item["detail"].startswith("cloud: no answer") for item in answer), answer
