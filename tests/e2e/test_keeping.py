"""A tenant is kept so: what vanishes comes back, what cannot work takes nothing down, a move leaves nothing behind."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.e2e.installation import Installation, free_port, gone, ready, until
from tests.e2e.test_path import PROCESS, containers_of, docker_spec, served
from tests.processes import processes_with

pytestmark = [pytest.mark.docker, pytest.mark.cluster, pytest.mark.timeout(240)]

SWEEP = timedelta(seconds=2)
"""As `Installation` sets it."""
LATE = timedelta(seconds=1)
"""A sweep takes time itself, on a busy machine."""
START = timedelta(seconds=4)
"""For an actor to come, a container to start and a probe to be answered, there too."""


async def test_removed_behind_its_back_it_comes_back_within_two_sweeps(
    installation: Installation, web_image: str
) -> None:
    """Its actor does not look by itself in that time: only a sweep can see it."""
    async with installation.http() as client:
        spec = docker_spec(web_image, "kept", interval_seconds=600)
        await client.post("/tenants", json={"name": "lost", "spec": spec})
        tenant = await ready(client, "lost")
        (container,) = containers_of(tenant["id"])
        removed = datetime.now(UTC)
        await asyncio.to_thread(container.remove, force=True)
        assert await back(client, "lost", "kept") - removed < 2 * SWEEP + LATE + START
        tenant = await until(
            client, "lost", lambda t: t["status"] == "ready" and t["workflow_execution_id"].endswith("-r2")
        )
        assert tenant["workflow"]["trigger_source"] == "supervisor"
        assert tenant["generation"] == 1
        assert await served(tenant) == "kept"
        assert len(containers_of(tenant["id"])) == 1
        heal = (await client.get(f"/executions/{tenant['workflow_execution_id']}")).json()
        assert datetime.fromisoformat(heal["created_at"]) - removed < 2 * SWEEP + LATE
        await client.delete("/tenants/lost")
        await gone(client, "lost")


class TestABrokenUpdateNeverTakesTheTenantDown:
    """A client asks all the time; the tenant says that it failed and why; a PATCH back is ready."""

    @pytest.mark.parametrize("port", ["chosen", "fixed"])
    async def test_by_an_image_that_is_not_there(self, installation: Installation, web_image: str, port: str) -> None:
        """Also where the new one could only start once the old one has stopped: it is not stopped for that."""
        spec = docker_spec(web_image, "steady")
        if port == "fixed":
            spec["compute"]["config"]["ports"][0]["host_port"] = free_port()
        failed = await self._fails(installation, f"no-image-{port}", spec, {"image": "no-such-image:2"})
        assert "no-such-image:2" in failed

    async def test_by_one_that_starts_and_dies(self, installation: Installation, web_image: str) -> None:
        broken = {"command": ["/bin/sh", "-c", "echo no database; exit 3"]}
        failed = await self._fails(installation, "dies", docker_spec(web_image, "steady"), broken)
        assert "exited with code 3: no database" in failed

    async def test_by_one_that_runs_and_is_never_healthy(self, installation: Installation, web_image: str) -> None:
        broken = {"command": ["/bin/sleep", "600"]}
        failed = await self._fails(installation, "never-well", docker_spec(web_image, "steady"), broken)
        assert "GET http://127.0.0.1:" in failed

    async def _fails(self, installation: Installation, name: str, spec: dict[str, Any], broken: dict[str, Any]) -> str:
        """What the tenant says of an update to `broken`, after all that holds of each."""
        image = spec["compute"]["config"]["image"]
        async with installation.http() as client:
            await client.post("/tenants", json={"name": name, "spec": spec})
            tenant = await ready(client, name)
            async with polled(tenant["observed"]["endpoints"][0]["url"]):
                patch = {"spec": {"compute": {"config": broken}, "health": {"deadline_seconds": 3}}}
                assert (await client.patch(f"/tenants/{name}", json=patch)).status_code == 202
                failed = await until(client, name, lambda t: t["status"] == "failed", 120)
                assert (failed["generation"], failed["observed_generation"]) == (2, 1)
                assert failed["observed"]["endpoints"] == tenant["observed"]["endpoints"]
                assert failed["observed"]["resources"] == tenant["observed"]["resources"]
            good = {"spec": {"compute": {"config": {"image": image, "command": None}}, "health": spec["health"]}}
            assert (await client.patch(f"/tenants/{name}", json=good)).status_code == 202
            repaired = await ready(client, name)
            assert await served(repaired) == "steady"
            assert len(containers_of(tenant["id"])) == 1
            await client.delete(f"/tenants/{name}")
            await gone(client, name)
        return str(failed["status_message"])


async def test_on_a_fixed_port_the_old_one_is_put_back_when_the_new_one_fails(
    installation: Installation, web_image: str
) -> None:
    spec = docker_spec(web_image, "old")
    port = spec["compute"]["config"]["ports"][0]["host_port"] = free_port()
    address = [{"name": "http", "url": f"http://127.0.0.1:{port}"}]
    async with installation.http() as client:
        await client.post("/tenants", json={"name": "address", "spec": spec})
        tenant = await ready(client, "address")
        assert tenant["observed"]["endpoints"] == address
        broken = {"spec": {"compute": {"config": {"command": ["/bin/sh", "-c", "echo no database; exit 3"]}}}}
        assert (await client.patch("/tenants/address", json=broken)).status_code == 202
        failed = await until(client, "address", lambda t: t["status"] == "failed", 120)
        assert "no database" in failed["status_message"]
        assert await answers(address[0]["url"]) == "old"
        (container,) = containers_of(tenant["id"])
        assert container.id == tenant["observed"]["resources"]["container"]
        good = {"spec": {"compute": {"config": {"command": None, "env": {"COLOR": "new"}}}}}
        assert (await client.patch("/tenants/address", json=good)).status_code == 202
        updated = await ready(client, "address")
        assert updated["observed"]["endpoints"] == address, "the address is what the spec fixes"
        assert await served(updated) == "new"
        await client.delete("/tenants/address")
        await gone(client, "address")


async def test_a_move_to_another_provider_and_back_is_seen_by_no_client(
    installation: Installation, web_image: str
) -> None:
    """The new one is healthy before the old one is destroyed, and nothing of the old one is left."""
    to_process: dict[str, Any] = {
        "provider": "process",
        "config": {"image": None, "ports": None, "command": PROCESS, "env": {"COLOR": "moved"}},
    }
    to_docker: dict[str, Any] = {
        "provider": "docker",
        "config": {
            "command": None,
            "image": web_image,
            "ports": [{"container_port": 8080}],
            "env": {"COLOR": "back"},
        },
    }
    async with installation.http() as client:
        await client.post("/tenants", json={"name": "mover", "spec": docker_spec(web_image, "before")})
        tenant = await ready(client, "mover")
        async with followed(client, "mover"):
            patched = await client.patch("/tenants/mover", json={"spec": {"compute": to_process}})
            assert patched.status_code == 202, patched.text
            tenant = await ready(client, "mover")
            assert await served(tenant) == "moved"
            assert containers_of(tenant["id"]) == []
            patched = await client.patch("/tenants/mover", json={"spec": {"compute": to_docker}})
            assert patched.status_code == 202, patched.text
            tenant = await ready(client, "mover")
            assert await served(tenant) == "back"
            assert processes_with("moved") == []
            assert len(containers_of(tenant["id"])) == 1
        await client.delete("/tenants/mover")
        await gone(client, "mover")


async def answers(url: str, seconds: float = 30) -> str:
    """What is served there, as soon as anything is."""
    async with asyncio.timeout(seconds), httpx.AsyncClient(trust_env=False, timeout=5) as client:
        while True:
            try:
                return (await client.get(url)).text.strip()
            except httpx.TransportError:
                await asyncio.sleep(0.05)


async def back(api: httpx.AsyncClient, name: str, text: str) -> datetime:
    """When a client who asks where the tenant is, and there, is answered again."""
    async with asyncio.timeout(60), httpx.AsyncClient(trust_env=False, timeout=5) as client:
        while True:
            for endpoint in (await api.get(f"/tenants/{name}")).json()["observed"]["endpoints"]:
                with suppress(httpx.TransportError):
                    if (await client.get(endpoint["url"])).text.strip() == text:
                        return datetime.now(UTC)
            await asyncio.sleep(0.02)


@asynccontextmanager
async def polled(url: str) -> AsyncIterator[None]:
    """A client asks all the time meanwhile; one answer that is not good fails the block."""

    async def poll(client: httpx.AsyncClient) -> None:
        (await client.get(url)).raise_for_status()

    async with _all_the_time(poll):
        yield


@asynccontextmanager
async def followed(api: httpx.AsyncClient, name: str) -> AsyncIterator[None]:
    """A client asks meanwhile where the tenant is, and there. An address may go only once another one is told."""
    told = ""

    async def poll(client: httpx.AsyncClient) -> None:
        nonlocal told
        told = told or (await api.get(f"/tenants/{name}")).json()["observed"]["endpoints"][0]["url"]
        try:
            (await client.get(told)).raise_for_status()
        except httpx.TransportError:
            moved = (await api.get(f"/tenants/{name}")).json()["observed"]["endpoints"][0]["url"]
            if moved == told:
                raise
            told = moved

    async with _all_the_time(poll):
        yield


@asynccontextmanager
async def _all_the_time(poll: Callable[[httpx.AsyncClient], Awaitable[None]]) -> AsyncIterator[None]:
    over, polls = asyncio.Event(), 0

    async def keep_on() -> None:
        nonlocal polls
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            while not over.is_set():
                await poll(client)
                polls += 1
                await asyncio.sleep(0.02)

    async with asyncio.TaskGroup() as group:
        group.create_task(keep_on())
        yield
        over.set()
    assert polls > 10
