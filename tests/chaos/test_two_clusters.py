"""Two Ray clusters on one database: leases between them, and an actor that wakes up after another took its tenant."""

import asyncio
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import docker
import psutil
import pytest
import pytest_asyncio

from tests.chaos.faults import tenant_actors
from tests.e2e.installation import Installation, free_port, gone, ready, until

pytestmark = [pytest.mark.long, pytest.mark.docker, pytest.mark.cluster, pytest.mark.timeout(400)]


def spec(image: str, color: str) -> dict[str, Any]:
    return {
        "compute": {
            "provider": "docker",
            "config": {"image": image, "env": {"COLOR": color}, "ports": [{"container_port": 8080}]},
        },
        "health": {"http": {"path": "/"}, "interval_seconds": 1},
    }


@pytest_asyncio.fixture
async def pair(
    database_url: str, docker_engine: docker.DockerClient
) -> AsyncIterator[tuple[Installation, Installation]]:
    homes = [Path(tempfile.mkdtemp(prefix="ll-two-")) for _ in range(2)]
    both = [
        Installation(home, free_port(), LANDLORD_DATABASE_URL=database_url, LANDLORD_TOKEN="one-token-for-both")
        for home in homes
    ]
    for one in both:
        await asyncio.to_thread(one.up)
    yield both[0], both[1]
    for one in both:
        await asyncio.to_thread(one.down)
    for home in homes:
        shutil.rmtree(home, ignore_errors=True)


async def test_a_paused_owner_wakes_up_after_another_cluster_took_over(
    pair: tuple[Installation, Installation], web_image: str
) -> None:
    here, there = pair
    held = here.failpoints / "apply_compute.before_record"
    held.write_text("hold")
    async with here.http() as client, there.http() as other:
        created = await client.post("/tenants", json={"name": "shared", "spec": spec(web_image, "blue")})
        assert created.status_code == 202
        await _exists(held.with_name(f"{held.name}.reached"))

        # While the lease is valid, the other cluster commits, notifies and answers pending.
        patched = await other.patch("/tenants/shared", json={"labels": {"seen": "there"}})
        assert patched.status_code == 200
        assert (await other.post("/tenants/shared/reconcile")).status_code == 202
        assert (await other.get("/tenants/shared")).json()["status"] == "provisioning"

        (owner,) = tenant_actors(here)
        owner.send_signal(signal.SIGSTOP)
        try:
            tenant = await ready(other, "shared", 90)
            held.unlink()
        finally:
            owner.send_signal(signal.SIGCONT)
        await _ended(owner)
        tenant = await until(other, "shared", lambda t: t["status"] == "ready")
        history = (await other.get("/tenants/shared/executions")).json()["items"]
        assert [item["state"] for item in history] == ["succeeded"]
        engine = docker.from_env()
        with_label = {"label": f"landlord.tenant-id={tenant['id']}"}
        assert len(engine.containers.list(all=True, filters=with_label)) == 1

        # The name is one across both, and either may delete it.
        assert (
            await client.post("/tenants", json={"name": "shared", "spec": spec(web_image, "red")})
        ).status_code == 409
        assert (await client.delete("/tenants/shared")).status_code == 202
        await gone(client, "shared", 90)
        assert engine.containers.list(all=True, filters=with_label) == []
        engine.close()


async def _exists(path: Path, seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not path.exists():  # noqa: ASYNC110, ASYNC240, the actor tells it through the file system
            await asyncio.sleep(0.05)


async def _ended(process: psutil.Process, seconds: float = 60) -> None:
    """The actor that lost its lease writes nothing more and exits."""
    async with asyncio.timeout(seconds):
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:  # noqa: ASYNC110, not a child of ours
            await asyncio.sleep(0.05)
