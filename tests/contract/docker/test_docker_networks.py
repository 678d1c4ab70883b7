"""Networks and volumes of docker tenants on a real Docker Engine: one network for each tenant, on subnets of ours."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from ipaddress import IPv4Network
from typing import Any
from uuid import UUID, uuid4

import docker
import pytest
from docker.errors import NotFound

from controlplane.errors import HeldByOthers, InvalidConfig, NotAvailableYet, WaitsFor
from controlplane.ports import DesiredResource, Resource, ResourceState
from controlplane.settings import DEFAULT_SUBNETS
from providers.compute.docker import belongings
from providers.compute.docker.policy import DockerPolicy
from providers.compute.docker.provider import DockerCompute
from providers.conformance.compute_bench import Gate, desire

pytestmark = pytest.mark.docker

OPEN = Gate(True)
SLEEP = ["sleep", "120"]
MANY = 500


@contextlib.asynccontextmanager
async def compute(*subnets: str, policy: DockerPolicy | None = None) -> AsyncIterator[DockerCompute]:
    provider = DockerCompute(subnets=subnets or DEFAULT_SUBNETS, policy=policy)
    yield provider
    await provider.close()


@pytest.fixture
def stranger(docker_engine: docker.DockerClient, web_image: str) -> Iterator[Any]:
    """Starts a container that is not ours."""
    made = []

    def start(**options: Any) -> Any:
        made.append(
            docker_engine.containers.run(web_image, SLEEP, name=f"px-{uuid4().hex[:8]}", detach=True, **options)
        )
        return made[-1]

    yield start
    for container in made:
        with contextlib.suppress(NotFound):
            container.remove(force=True, v=True)


def networks_of(engine: docker.DockerClient, desired: DesiredResource) -> list[dict[str, Any]]:
    found = engine.api.networks(filters={"label": f"landlord.tenant-id={desired.origin.tenant_id}"})
    return [dict(network) for network in found]


def subnet_of(network: dict[str, Any]) -> IPv4Network:
    return IPv4Network(network["IPAM"]["Config"][0]["Subnet"])


def attached(engine: docker.DockerClient, resource: Resource) -> list[str]:
    """The ids of the networks that a container is on."""
    settings = engine.api.inspect_container(resource.id)["NetworkSettings"]["Networks"]
    return [network["NetworkID"] for network in settings.values()]


async def test_a_tenant_has_one_network_of_its_own_which_its_generations_share(
    provider: DockerCompute, installation_id: str, web_image: str, docker_engine: docker.DockerClient
) -> None:
    config = {"image": web_image, "command": SLEEP}
    first, other = desire(installation_id, config), desire(installation_id, {**config, "network": "tenant"})
    made = [await provider.apply(desired, OPEN) for desired in (first, other)]
    second = desire(installation_id, config, tenant_id=first.origin.tenant_id, generation=2)
    made.append(await provider.apply(second, OPEN))
    (own,), (others) = networks_of(docker_engine, first), networks_of(docker_engine, other)
    assert [attached(docker_engine, resource) for resource in made] == [[own["Id"]], [others[0]["Id"]], [own["Id"]]]
    pool = IPv4Network(DEFAULT_SUBNETS[0])
    for network in (own, others[0]):
        assert subnet_of(network).subnet_of(pool)
        assert subnet_of(network).prefixlen == 28
    assert not subnet_of(own).overlaps(subnet_of(others[0]))
    route = docker_engine.containers.get(made[0].id).exec_run(["ip", "route"]).output.decode()
    assert route.startswith("default via "), "egress goes through the network's gateway"
    for resource in made:
        await provider.destroy(resource.id)
    await provider.forget(installation_id, first.origin.tenant_id)
    assert networks_of(docker_engine, first) == []
    assert networks_of(docker_engine, other) == others


async def test_what_was_made_on_the_default_bridge_is_adopted_as_it_is(
    provider: DockerCompute, installation_id: str, web_image: str, docker_engine: docker.DockerClient
) -> None:
    """As a release without networks of tenants made it."""
    desired = desire(installation_id, {"image": web_image, "command": SLEEP})
    old = docker_engine.containers.run(
        web_image, SLEEP, name=desired.origin.name, labels=desired.origin.labels(), detach=True
    )
    seen = await provider.observe(desired.origin)
    assert seen is not None
    assert (seen.id, seen.state) == (old.id, ResourceState.RUNNING)
    assert (await provider.apply(desired, OPEN)).id == old.id
    assert networks_of(docker_engine, desired) == []
    newer = desire(installation_id, desired.config, tenant_id=desired.origin.tenant_id, generation=2)
    resource = await provider.apply(newer, OPEN)
    assert attached(docker_engine, resource) == [networks_of(docker_engine, desired)[0]["Id"]]


async def test_a_pool_without_a_free_subnet_says_so_until_one_comes_free(
    installation_id: str, web_image: str, docker_engine: docker.DockerClient
) -> None:
    async with compute("10.214.240.0/28") as provider:
        config = {"image": web_image, "command": SLEEP}
        first, second = desire(installation_id, config), desire(installation_id, config)
        resource = await provider.apply(first, OPEN)
        with pytest.raises(NotAvailableYet, match="LANDLORD_DOCKER_SUBNETS") as refused:
            await provider.apply(second, OPEN)
        assert refused.value.waits_for is WaitsFor.NETWORK_POOL_EXHAUSTED
        assert await provider.observe(second.origin) is None
        await provider.destroy(resource.id)
        await provider.forget(installation_id, first.origin.tenant_id)
        await provider.apply(second, OPEN)
        (network,) = networks_of(docker_engine, second)
        assert str(subnet_of(network)) == "10.214.240.0/28"


async def test_a_subnet_that_another_took_first_is_left_to_it(
    installation_id: str, web_image: str, docker_engine: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Docker Engine is the judge: what was listed a moment ago is not what is."""
    monkeypatch.setattr(belongings, "_subnets", lambda networks: [])
    monkeypatch.setattr(belongings, "host_routes", list)
    async with compute("10.214.241.0/26") as provider:
        # Each of these four looks at the same subnet first.
        tenants = [
            desire(installation_id, {"image": web_image, "command": SLEEP}, tenant_id=UUID(int=uuid4().int & ~3))
            for _ in range(4)
        ]
        await asyncio.gather(*(provider.apply(desired, OPEN) for desired in tenants))
        subnets = {subnet_of(network) for desired in tenants for network in networks_of(docker_engine, desired)}
        assert len(subnets) == 4


async def test_a_strangers_container_on_the_network_is_disconnected_and_the_network_goes(
    provider: DockerCompute,
    installation_id: str,
    web_image: str,
    docker_engine: docker.DockerClient,
    stranger: Any,
) -> None:
    """A proxy that was connected to each tenant, to route to it."""
    desired = desire(installation_id, {"image": web_image, "command": SLEEP})
    resource = await provider.apply(desired, OPEN)
    (network,) = networks_of(docker_engine, desired)
    proxy = stranger()
    docker_engine.api.connect_container_to_network(proxy.id, network["Id"])
    await provider.destroy(resource.id)
    await provider.forget(installation_id, desired.origin.tenant_id)
    assert networks_of(docker_engine, desired) == []
    proxy.reload()
    assert proxy.status == "running"
    assert list(proxy.attrs["NetworkSettings"]["Networks"]) == ["bridge"]


async def test_a_strangers_container_on_a_volume_is_named_and_holds_nothing_else(
    provider: DockerCompute,
    installation_id: str,
    web_image: str,
    docker_engine: docker.DockerClient,
    stranger: Any,
) -> None:
    """A backup that still reads."""
    config = {"image": web_image, "command": SLEEP, "volumes": ["data:/data", "more:/more"]}
    desired = desire(installation_id, config)
    resource = await provider.apply(desired, OPEN)
    volume = f"landlord-conform-{desired.origin.tenant_id.hex[-8:]}-data"
    backup = stranger(volumes={volume: {"bind": "/b", "mode": "ro"}})
    await provider.destroy(resource.id)
    for _ in range(2):
        with pytest.raises(HeldByOthers, match=f"volume {volume}, which {backup.name} uses"):
            await provider.forget(installation_id, desired.origin.tenant_id)
    assert networks_of(docker_engine, desired) == []
    labels = {"label": f"landlord.tenant-id={desired.origin.tenant_id}"}
    assert [found["Name"] for found in docker_engine.api.volumes(filters=labels)["Volumes"]] == [volume]
    assert await provider.tenants_with_belongings(installation_id) == {desired.origin.tenant_id}
    backup.remove(force=True)
    await provider.forget(installation_id, desired.origin.tenant_id)
    assert await provider.tenants_with_belongings(installation_id) == set()


async def test_another_tenants_network_is_joined_neither_by_name_nor_by_id(
    installation_id: str, web_image: str, docker_engine: docker.DockerClient
) -> None:
    async with compute() as provider:
        victim = desire(installation_id, {"image": web_image, "command": SLEEP})
        await provider.apply(victim, OPEN)
        (network,) = networks_of(docker_engine, victim)
    for name in (network["Name"], network["Id"]):
        # Even if somebody listed it.
        async with compute(policy=DockerPolicy(networks=(name,))) as provider:
            intruder = desire(installation_id, {"image": web_image, "command": SLEEP, "network": name})
            with pytest.raises(InvalidConfig, match="belongs to a"):
                await provider.apply(intruder, OPEN)
    (host,) = docker_engine.api.networks(names=["^host$"])
    async with compute(policy=DockerPolicy(networks=(host["Id"],))) as provider:
        intruder = desire(installation_id, {"image": web_image, "command": SLEEP, "network": host["Id"]})
        with pytest.raises(InvalidConfig, match="the host's"):
            await provider.apply(intruder, OPEN)


@pytest.mark.long
async def test_five_hundred_tenants_have_networks_on_one_engine(
    provider: DockerCompute, installation_id: str, web_image: str, docker_engine: docker.DockerClient
) -> None:
    """Docker Engine's own pools end at about 30. Each tenant has a network, one in fifty a container that runs too."""
    config = {"image": web_image, "command": SLEEP}
    tenants = [desire(installation_id, config) for _ in range(MANY)]
    pool = provider._engine._subnets

    def provide(desired: DesiredResource) -> str:
        with provider._engine._speaking() as api:
            return belongings.provide_network(api, pool, desired.origin)

    try:
        for desired in tenants:
            await provider._threads.run(provide, desired)
        found = docker_engine.api.networks(filters={"label": f"landlord.owner={installation_id}"})
        assert len({subnet_of(dict(network)) for network in found}) == MANY
        for desired in tenants[::50]:
            resource = await provider.apply(desired, OPEN)
            assert resource.state is ResourceState.RUNNING
            await provider.destroy(resource.id)
    finally:
        for desired in tenants:
            await provider.forget(installation_id, desired.origin.tenant_id)
    assert await provider.tenants_with_belongings(installation_id) == set()
