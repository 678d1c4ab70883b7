"""A step that stands still in the middle of `docker create` while its tenant is deleted, and goes on long after."""

import asyncio
import time

import docker
import pytest

from tests.e2e.engines import ENGINES
from tests.e2e.installation import Installation, gone
from tests.e2e.test_path import docker_spec

pytestmark = [pytest.mark.long, pytest.mark.docker, pytest.mark.cluster, pytest.mark.timeout(300)]

UNDONE = ["create", "destroy"]
"""What becomes of a container whose step finds its gate closed."""


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_step_paused_in_its_create_wakes_up_long_after_the_delete(
    three_engines: Installation, docker_engine: docker.DockerClient, web_image: str, engine: str
) -> None:
    """The embedded engine's step ends with its owner's process, Restate's with the request that its server gives up. A
    worker of Step Functions' lives on, and makes it."""
    point = three_engines.failpoints / "apply_compute.past_gate_1"  # the gate was open: what follows is the create
    reached = point.with_name(f"{point.name}.reached")
    name = f"paused-{engine}"
    spec = {**docker_spec(web_image), "workflow": {"provider": engine}}
    spec["compute"]["config"] |= {"volumes": ["data:/data"], "network": "tenant"}
    began = int(time.time())
    async with three_engines.http() as client:
        point.write_text("hold")
        try:
            tenant = (await client.post("/tenants", json={"name": name, "spec": spec})).json()["id"]
            async with asyncio.timeout(30):
                while not reached.exists():  # noqa: ASYNC110, a file of another process
                    await asyncio.sleep(0.05)
            await client.delete(f"/tenants/{name}")
            await gone(client, name, 90)
            assert _done(docker_engine, tenant, began) == []
        finally:
            point.unlink(missing_ok=True)
            reached.unlink(missing_ok=True)
    async with asyncio.timeout(60):
        while engine == "stepfunctions" and _done(docker_engine, tenant, began) != UNDONE:  # noqa: ASYNC110, its worker
            await asyncio.sleep(0.2)
        while three_engines.run("doctor", check=False).returncode != 0:  # noqa: ASYNC110, until the actor has left
            await asyncio.sleep(0.5)
        while any(_there(docker_engine, tenant).values()):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    assert _done(docker_engine, tenant, began) in ([], UNDONE)


def _done(engine: docker.DockerClient, tenant: str, since: int) -> list[str]:
    """What became of the tenant's containers."""
    filters = {"label": f"landlord.tenant-id={tenant}", "type": "container"}
    told = engine.api.events(since=since, until=int(time.time()) + 1, filters=filters, decode=True)
    return [event["Action"] for event in told if event["Action"] in ("create", "start", "destroy")]


def _there(engine: docker.DockerClient, tenant: str) -> dict[str, int]:
    label = {"label": f"landlord.tenant-id={tenant}"}
    return {
        "containers": len(engine.api.containers(all=True, filters=label)),
        "volumes": len(engine.api.volumes(filters=label)["Volumes"] or ()),
        "networks": len(engine.api.networks(filters=label)),
    }
