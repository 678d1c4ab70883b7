"""Ports in whatever order and protocol, and what a person does to a container by hand, on the real Docker Engine."""

import asyncio
from typing import Any

import docker
import pytest

from controlplane.ports import ResourceState
from controlplane.steps.probe import HealthProber
from providers.compute.docker.policy import DockerPolicy
from providers.compute.docker.provider import DockerCompute
from providers.conformance.compute_bench import Gate, desire
from tests.contract.docker.test_compute_docker import answer, prober, web

__all__ = ["prober"]  # a fixture

pytestmark = pytest.mark.docker

OPEN = Gate(True)
TCP = {"container_port": 8080}


@pytest.mark.parametrize(
    ("udp", "health"),
    [(53, {"http": {}}), (8080, {"tcp": {"port": 8080}})],
    ids=["of another number", "of the same number"],
)
async def test_a_udp_port_before_or_after_the_probed_one(
    provider: DockerCompute,
    installation_id: str,
    prober: HealthProber,
    web_image: str,
    udp: int,
    health: dict[str, Any],
) -> None:
    other = {"container_port": udp, "protocol": "udp"}

    async def well(ports: list[dict[str, Any]]) -> None:
        resource = await provider.apply(desire(installation_id, web(web_image, ports=ports)), OPEN)
        assert len({endpoint.name for endpoint in resource.endpoints}) == 2
        await answer(prober, resource, **health)

    await asyncio.gather(well([other, TCP]), well([TCP, other]))


async def test_a_port_is_published_at_the_address_of_the_machine_unless_the_config_says_where(
    installation_id: str, prober: HealthProber, web_image: str
) -> None:
    provider = DockerCompute(policy=DockerPolicy(publish=("127.0.0.1", "127.0.0.2"), address="127.0.0.2"))
    left_out, said = await asyncio.gather(
        *(
            provider.apply(desire(installation_id, web(web_image, ports=[port])), OPEN)
            for port in (TCP, {**TCP, "host_ip": "127.0.0.1"})
        )
    )
    await provider.close()
    assert [one.endpoints[0].url.rpartition(":")[0] for one in (left_out, said)] == [
        "http://127.0.0.2",
        "http://127.0.0.1",
    ]
    await answer(prober, left_out, http={})


async def test_what_a_person_did_to_a_container_is_seen_and_mended(
    provider: DockerCompute,
    installation_id: str,
    prober: HealthProber,
    web_image: str,
    docker_engine: docker.DockerClient,
) -> None:
    resource = await provider.apply(desire(installation_id, web(web_image)), OPEN)
    container = docker_engine.containers.get(resource.id)
    container.pause()
    paused = await provider.inspect(resource.id)
    assert paused is not None
    assert (paused.state, paused.endpoints) == (ResourceState.STOPPED, ())
    await provider.start(resource.id)
    running = await provider.inspect(resource.id)
    assert running is not None
    await answer(prober, running)
    container.restart(timeout=1)
    restarted = await provider.inspect(resource.id)
    assert restarted is not None
    assert restarted.launch != running.launch
    await answer(prober, restarted)
    container.rename(f"renamed-{installation_id}")
    (listed,) = await provider.list_owned(installation_id)
    assert (listed.id, listed.origin) == (resource.id, resource.origin)
