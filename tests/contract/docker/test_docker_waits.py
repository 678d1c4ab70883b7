"""Not there yet is waited for, on real Docker Engines and a real registry, under the real owner and its rows."""

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pytest
import pytest_asyncio
from docker.transport.unixconn import UnixHTTPConnection
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.runtime import Runtime
from controlplane.clock import SystemClock
from controlplane.failpoints import Failpoints
from controlplane.model import ComputeSpec, ConditionType, HealthSpec, Status, Tenant, TenantSpec
from controlplane.persistence import bootstrap
from controlplane.persistence.tenants import TenantView
from controlplane.ports import ComputeProvider
from controlplane.steps.platforms import Platforms
from controlplane.steps.run import Steps
from controlplane.steps.upkeep import Upkeep
from providers.compute.docker.provider import DockerCompute
from providers.compute.fake import FakeCloud
from providers.registry import Enabled
from tests.engines import WEB_IMAGE, Engine
from tests.integration.owner import Owner, World
from tests.registry import Registry

pytestmark = pytest.mark.docker

SECONDS = 120.0
MOST = 2
"""Attempts that a step has."""


class DockerOwner(Owner):
    """An owner whose one compute provider is Docker."""

    def _build(self, *given: Any) -> Runtime:
        built = super()._build(*given)
        provider = self._provider = DockerCompute()
        compute: Enabled[ComputeProvider] = Enabled({"docker": lambda: provider})
        platforms = Platforms(built.store, compute)
        steps = self._steps = Steps(built.store, platforms, built.prober, SystemClock(), Failpoints(None))
        return replace(built, compute=compute, steps=steps, upkeep=Upkeep(built.store, platforms, built.prober))

    async def __aexit__(self, *raised: object) -> None:
        await super().__aexit__(*raised)
        await self._provider.close()


class DockerWorld(World):
    def owned(self, tenant: Tenant) -> Owner:
        return DockerOwner(self._database_url, self._home, self.cloud, tenant, MOST)

    async def waits_for(self, tenant: Tenant, reason: str) -> str:
        """Until it says that it waits for that. Returns the message."""
        view = await self.until(tenant, lambda v: reason in [said[0] for said in waits(v)], SECONDS)
        return waits(view)[0][1]

    async def came(self, tenant: Tenant, status: Status) -> TenantView:
        view = await self.until(tenant, lambda v: v.tenant.status is status and v.execution.state.terminal, SECONDS)
        assert waits(view) == []
        assert view.execution.run == 1
        return view


def waits(view: TenantView) -> list[tuple[str, str]]:
    return [(c.reason, c.message) for c in view.tenant.conditions if c.type == ConditionType.WAITING]


def of_image(image: str, pull: str) -> TenantSpec:
    return TenantSpec(
        compute=ComputeSpec(provider="docker", config={"image": image, "pull": pull}),
        health=HealthSpec(interval_seconds=0.5, min_healthy_seconds=0),
    )


@pytest.fixture(autouse=True)
def closed_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK leaves a socket open that finds nobody at the other end, until somebody collects it."""

    def connect(self: Any) -> None:
        knocking = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        knocking.settimeout(self.timeout)
        try:
            knocking.connect(self.unix_socket)
        except OSError:
            knocking.close()
            raise
        self.sock = knocking

    monkeypatch.setattr(UnixHTTPConnection, "connect", connect)


@pytest_asyncio.fixture
async def world(
    database: AsyncEngine, database_url: str, tmp_path: Path, docker_engine: docker.DockerClient
) -> AsyncIterator[DockerWorld]:
    """What a test that failed leaves on the machine's engine is removed."""
    yield DockerWorld(database, database_url, tmp_path, FakeCloud())
    provider, owner = DockerCompute(), await bootstrap.installation_id(database)
    with pytest.MonkeyPatch.context() as here:
        here.delenv("DOCKER_HOST", raising=False)  # a test's own engine may be gone by now
        for left in await provider.list_owned(owner):
            await provider.destroy(left.id)
            await provider.forget(owner, left.origin.tenant_id)
    await provider.close()


@pytest.fixture
def own_engine(docker_engine: docker.DockerClient, short_dir: Path) -> Iterator[Engine]:
    """A Docker Engine that only this test has, so that it may stop it."""
    directory = short_dir / "waits"
    directory.mkdir()
    engine = Engine(directory)
    engine.start()
    yield engine
    engine.stop()


async def test_an_engine_that_is_stopped_and_then_lacks_the_image(
    world: DockerWorld, own_engine: Engine, docker_engine: docker.DockerClient, web_image: str, monkeypatch: Any
) -> None:
    monkeypatch.setenv("DOCKER_HOST", own_engine.address)
    own_engine.stop()
    tenant = await world.create(of_image(WEB_IMAGE, "never"))
    async with world.owned(tenant) as owner:
        assert "Docker Engine does not answer" in await world.waits_for(tenant, "PlatformUnavailable")
        own_engine.start()
        assert f"image {WEB_IMAGE} is not on this machine" in await world.waits_for(tenant, "ImageNotFound")
        own_engine.load(b"".join(docker_engine.images.get(web_image).save(named=True)))
        await world.came(tenant, Status.READY)
        own_engine.stop()
        await world.delete()
        owner.mailbox.mark_dirty()
        await world.waits_for(tenant, "PlatformUnavailable")
        own_engine.start()
        await world.came(tenant, Status.DELETED)


@pytest.fixture
def back(registry: Registry) -> Iterator[Callable[[], None]]:
    """The registry is away until this is called, or until the end of the test."""
    registry.stop()
    yield registry.start
    registry.stop()
    registry.start()


async def test_a_registry_that_is_away_and_then_gets_the_image(
    world: DockerWorld,
    registry: Registry,
    docker_engine: docker.DockerClient,
    web_image: str,
    name: str,
    back: Callable[[], None],
) -> None:
    image = f"{registry.address}/{name}"
    tenant = await world.create(of_image(image, "missing"))
    async with world.owned(tenant) as owner:
        assert image in await world.waits_for(tenant, "PlatformUnavailable")
        back()
        assert image in await world.waits_for(tenant, "ImageNotFound")
        registry.push(docker_engine, web_image, name)
        await world.came(tenant, Status.READY)
        await world.delete()
        owner.mailbox.mark_dirty()
        await world.came(tenant, Status.DELETED)
