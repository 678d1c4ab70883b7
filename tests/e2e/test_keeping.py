"""A tenant is kept so: what vanishes comes back, what cannot work takes nothing down, a move leaves nothing behind."""

import asyncio
from contextlib import suppress
from typing import Any

import httpx
import pytest

from tests.e2e.installation import Installation, gone, ready, until
from tests.e2e.test_path import PROCESS, containers_of, docker_spec, served

pytestmark = [pytest.mark.docker, pytest.mark.cluster, pytest.mark.timeout(240)]


async def test_removed_behind_its_back_it_comes_back(installation: Installation, web_image: str) -> None:
    async with installation.http() as client:
        await client.post("/tenants", json={"name": "lost", "spec": docker_spec(web_image, "kept")})
        tenant = await ready(client, "lost")
        (container,) = containers_of(tenant["id"])
        await asyncio.to_thread(container.remove, force=True)
        tenant = await until(
            client, "lost", lambda t: t["status"] == "ready" and t["workflow_execution_id"].endswith("-r2")
        )
        assert tenant["workflow"]["trigger_source"] == "supervisor"
        assert tenant["generation"] == 1
        assert await served(tenant) == "kept"
        assert len(containers_of(tenant["id"])) == 1
        await client.delete("/tenants/lost")
        await gone(client, "lost")


async def test_a_patch_to_a_broken_image_never_takes_the_tenant_down(
    installation: Installation, web_image: str
) -> None:
    async with installation.http() as client:
        await client.post("/tenants", json={"name": "steady", "spec": docker_spec(web_image, "steady")})
        tenant = await ready(client, "steady")
        poller = asyncio.create_task(_poll(tenant["observed"]["endpoints"][0]["url"]))
        broken = {"spec": {"compute": {"config": {"image": "no-such-image:2"}}}}
        assert (await client.patch("/tenants/steady", json=broken)).status_code == 202
        failed = await until(client, "steady", lambda t: t["status"] == "failed", 120)
        assert "no-such-image:2" in failed["status_message"]
        assert failed["observed"]["endpoints"] == tenant["observed"]["endpoints"]
        poller.cancel()
        with suppress(asyncio.CancelledError):
            await poller
        assert poller.cancelled(), "it answered each time"
        good = {"spec": {"compute": {"config": {"image": web_image}}}}
        assert (await client.patch("/tenants/steady", json=good)).status_code == 202
        tenant = await ready(client, "steady")
        assert await served(tenant) == "steady"
        assert len(containers_of(tenant["id"])) == 1
        await client.delete("/tenants/steady")
        await gone(client, "steady")


async def test_a_move_to_another_provider_leaves_nothing_behind(installation: Installation, web_image: str) -> None:
    async with installation.http() as client:
        await client.post("/tenants", json={"name": "mover", "spec": docker_spec(web_image, "before")})
        tenant = await ready(client, "mover")
        moved: dict[str, Any] = {
            "provider": "process",
            "config": {"image": None, "ports": None, "command": PROCESS, "env": {"COLOR": "after"}},
        }
        patched = await client.patch(
            "/tenants/mover", json={"spec": {"compute": moved, "health": {"http": {"path": "/"}}}}
        )
        assert patched.status_code == 202, patched.text
        tenant = await ready(client, "mover")
        assert await served(tenant) == "after"
        assert containers_of(tenant["id"]) == [], "the old one is destroyed after the new one is healthy"
        await client.delete("/tenants/mover")
        await gone(client, "mover")


async def _poll(url: str) -> None:
    """As a client would, all the time. Raises at the first answer that is not good."""
    async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
        while True:
            (await client.get(url)).raise_for_status()
            await asyncio.sleep(0.02)
