"""Commands in a tenant's compute: who may, what is on record before, and what is refused."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import pytest_asyncio
from sqlalchemy import insert, update

from controlplane.errors import Unavailable
from controlplane.persistence import tables
from controlplane.ports import Origin, Ran, Resource, ResourceState
from tests.fakes import StubPlatform
from tests.integration.api_replica import Api, api_on

ASK = {"command": ["mysql", "-phunter2-of-exec", "-e", "SELECT 1"]}


class Cloud(StubPlatform):
    """Runs commands; a config whose image is `host` reaches the host."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, Sequence[str], float]] = []
        self.running: ResourceState | None = ResourceState.RUNNING
        self.away = False

    def host_access(self, config: Mapping[str, Any]) -> Sequence[str]:
        return ["image"] if config["image"] == "host" else []

    async def inspect(self, resource_id: str) -> Resource | None:
        origin = Origin("us", "acme", UUID(int=1), 1, 1, "e", "h")
        return None if self.running is None else Resource(resource_id, "acme", origin, self.running)

    async def run_command(self, resource_id: str, command: Sequence[str], seconds: float) -> Ran:
        self.asked.append((resource_id, command, seconds))
        if self.away:
            raise Unavailable("the cloud does not answer")
        return Ran(3, "said\n", cut=True)


@pytest_asyncio.fixture
async def cloud() -> Cloud:
    return Cloud()


@pytest_asyncio.fixture
async def api(database_url: str, cloud: Cloud) -> AsyncIterator[Api]:
    async with api_on(database_url, cloud=cloud) as api:
        yield api


async def serving(api: Api, image: str = "web:1", platform: str = "cloud") -> None:
    """A tenant that something serves."""
    created = (await api.create(spec={"compute": {"provider": "cloud", "config": {"image": image}}})).json()
    id, execution = UUID(created["id"]), created["workflow_execution_id"]
    values = {"execution_id": execution, "tenant_id": id, "platform": platform, "platform_identity": f"{platform}-1"}
    values |= {"generation": 1, "run": 1, "name": "landlord-acme", "resource_id": "r-1", "state": "placed"}
    async with api.database.begin() as connection:
        await connection.execute(insert(tables.placements).values(**values))
        await connection.execute(update(tables.tenants).values(serving_execution=execution))


async def test_a_command_runs_in_what_serves_and_is_on_record_before(api: Api, cloud: Cloud) -> None:
    await serving(api)
    operator = await api.bearer("operator")
    answer = await api.client.post("/v1/tenants/acme/exec", json=ASK, headers=operator)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"exit_code": 3, "output": "said\n", "cut": True}
    assert cloud.asked == [("r-1", ASK["command"], 10.0)]
    cloud.away = True
    asked = {**ASK, "timeout_seconds": 2}
    refused = await api.client.post("/v1/tenants/acme/exec", json=asked, headers=operator)
    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    events = (await api.client.get("/v1/tenants/acme/events")).json()["items"]
    told = [(one["actor"], one["data"]) for one in events if one["type"] == "tenant.command_run"]
    masked = {"command": ["mysql", "-p********", "-e", "SELECT 1"]}
    assert told == [("the-operator", masked)] * 2, "also of the one that could not be run"
    assert "hunter2" not in str(events)


async def test_who_may_only_read_runs_nothing(api: Api, cloud: Cloud) -> None:
    await serving(api)
    refused = await api.client.post("/v1/tenants/acme/exec", json=ASK, headers=await api.bearer("viewer"))
    assert refused.status_code == 403
    assert cloud.asked == []


async def test_where_the_config_reaches_the_host_it_takes_an_admin(api: Api, cloud: Cloud) -> None:
    await serving(api, image="host")
    refused = await api.client.post("/v1/tenants/acme/exec", json=ASK, headers=await api.bearer("operator"))
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert cloud.asked == []
    assert (await api.client.post("/v1/tenants/acme/exec", json=ASK)).status_code == 200


async def test_what_cannot_be_run_is_refused(api: Api, cloud: Cloud) -> None:
    async def code(name: str = "acme", **body: Any) -> tuple[int, str]:
        answer = await api.client.post(f"/v1/tenants/{name}/exec", json={**ASK, **body})
        return answer.status_code, answer.json()["code"]

    await api.create("idle")
    assert await code("idle") == (409, "invalid_transition"), "nothing serves yet"
    assert await code("nobody") == (404, "tenant_not_found")
    await serving(api)
    for wrong in ({"command": []}, {"command": [""]}, {"command": ["a\0"]}, {"timeout_seconds": 16}, {"tty": True}):
        assert await code(**wrong) == (400, "validation_failed"), wrong
    for state in (ResourceState.STOPPED, None):
        cloud.running = state
        assert await code() == (409, "invalid_transition")
    async with api.database.begin() as connection:
        await connection.execute(update(tables.placements).values(platform="process"))
    assert await code() == (422, "exec_not_supported")
    assert cloud.asked == []


async def test_beside_a_process_it_takes_who_may_create_one(database_url: str, cloud: Cloud) -> None:
    """Without root, its account is the control plane's."""
    async with api_on(database_url, more={"process": cloud}) as api:
        await serving(api, platform="process")
        operator = await api.bearer("operator")
        refused = await api.client.post("/v1/tenants/acme/exec", json=ASK, headers=operator)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        assert cloud.asked == []
        assert (await api.client.post("/v1/tenants/acme/exec", json=ASK)).status_code == 200
    async with api_on(database_url, more={"process": cloud}, process_role="operator") as api:
        assert (await api.client.post("/v1/tenants/acme/exec", json=ASK, headers=operator)).status_code == 200
