"""Ready means lasting, on a real Docker Engine under the real owner: a version that only lives for moments replaces
nothing, whatever its restart policy."""

import docker
import pytest

from controlplane.model import ComputeSpec, ExecutionState, HealthSpec, Status, TenantSpec
from tests.contract.docker.test_docker_waits import SECONDS, DockerWorld, closed_sockets, world

pytestmark = pytest.mark.docker
__all__ = ["closed_sockets", "world"]


def version(image: str, shell: str, restart_policy: str, **health: float) -> TenantSpec:
    config = {"image": image, "command": ["sh", "-c", shell], "restart_policy": restart_policy, "stop_grace_seconds": 0}
    return TenantSpec(
        compute=ComputeSpec(provider="docker", config={**config, "pull": "never"}),
        health=HealthSpec.model_validate({"interval_seconds": 0.5, **health}),
    )


async def replaced_nothing(
    world: DockerWorld, engine: docker.DockerClient, image: str, restart_policy: str, **health: float
) -> str:
    """The error of an update to a version that lives three quarters of a second. What worked before works still."""
    tenant = await world.create(version(image, "sleep 1d", restart_policy, min_healthy_seconds=0))
    async with world.owned(tenant) as owner:
        await world.settled(tenant, Status.READY, 1)
        await world.patch(version(image, "sleep 0.75; exit 1", restart_policy, **health))
        owner.mailbox.mark_dirty()
        view = await world.until(
            tenant, lambda v: v.tenant.status is Status.FAILED and v.execution.state.terminal, SECONDS
        )
        await world.cleaned(view.execution.id)
        (left,) = engine.containers.list(all=True, filters={"label": [f"landlord.tenant-id={tenant.id}"]})
        assert left.status == "running"
        assert left.labels["landlord.generation"] == "1"
        assert left.attrs["RestartCount"] == 0
        await world.delete()
        owner.mailbox.mark_dirty()
        await world.settled(tenant, Status.DELETED)
    return view.execution.error or ""


async def test_a_version_that_is_restarted_for_ever(
    world: DockerWorld, docker_engine: docker.DockerClient, web_image: str
) -> None:
    error = await replaced_nothing(
        world, docker_engine, web_image, "always", min_healthy_seconds=1.5, deadline_seconds=4
    )
    assert "not healthy after 4 s" in error


async def test_a_restart_keeps_the_container_and_what_is_in_it(
    world: DockerWorld, docker_engine: docker.DockerClient, web_image: str
) -> None:
    shell = "echo start >> /starts; exec sleep 1d"
    tenant = await world.create(version(web_image, shell, "no", min_healthy_seconds=0))
    async with world.owned(tenant) as owner:
        await world.settled(tenant, Status.READY, 1)
        (before,) = docker_engine.containers.list(filters={"label": [f"landlord.tenant-id={tenant.id}"]})
        asked = await world.restart()
        owner.mailbox.mark_dirty()
        view = await world.until(tenant, lambda v: v.execution.id == asked.id and v.execution.state.terminal, SECONDS)
        assert (view.tenant.status, view.execution.state) == (Status.READY, ExecutionState.SUCCEEDED)
        (after,) = docker_engine.containers.list(filters={"label": [f"landlord.tenant-id={tenant.id}"]})
        assert after.id == before.id
        assert after.attrs["State"]["StartedAt"] > before.attrs["State"]["StartedAt"]
        assert after.exec_run(["cat", "/starts"]).output == b"start\nstart\n"
        await world.delete()
        owner.mailbox.mark_dirty()
        await world.settled(tenant, Status.DELETED)


@pytest.mark.long
async def test_a_version_that_exits(world: DockerWorld, docker_engine: docker.DockerClient, web_image: str) -> None:
    """With nothing said of how long is long enough."""
    assert "exited with code 1" in await replaced_nothing(world, docker_engine, web_image, "no")


@pytest.mark.long
async def test_a_version_that_is_restarted_for_ever_is_given_up(
    world: DockerWorld, docker_engine: docker.DockerClient, web_image: str
) -> None:
    assert "it does not last" in await replaced_nothing(world, docker_engine, web_image, "always")
