"""Where the docker provider takes images from, against a real registry."""

import asyncio
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import docker
import pytest

from controlplane.errors import NotAvailableYet
from providers.compute.docker.provider import DockerCompute
from providers.conformance.compute_bench import Gate, desire
from tests.registry import Registry
from tests.silent import stalling_registry

pytestmark = pytest.mark.docker

OPEN = Gate(True)


@pytest.fixture
def gone(registry: Registry) -> Iterator[Any]:
    """A call by which the registry goes away until the end of the test."""
    yield registry.stop
    registry.stop()
    registry.start()


async def made_of(
    provider: DockerCompute, installation_id: str, engine: docker.DockerClient, image: str, pull: str
) -> str:
    """The id of the image that a new tenant's container has."""
    resource = await provider.apply(desire(installation_id, {"image": image, "pull": pull}), OPEN)
    return str(engine.api.inspect_container(resource.id)["Image"])


async def test_missing_pulls_what_is_not_here_and_asks_nobody_for_what_is(
    provider: DockerCompute,
    installation_id: str,
    registry: Registry,
    name: str,
    gone: Any,
    docker_engine: docker.DockerClient,
    web_image: str,
) -> None:
    image = registry.push(docker_engine, web_image, name)
    assert docker_engine.images.list(image) == []
    web = docker_engine.images.get(web_image).id
    assert await made_of(provider, installation_id, docker_engine, image, "missing") == web
    gone()
    assert await made_of(provider, installation_id, docker_engine, image, "missing") == web


async def test_always_takes_what_the_registry_has_now_and_never_what_is_here(
    provider: DockerCompute,
    installation_id: str,
    registry: Registry,
    name: str,
    gone: Any,
    docker_engine: docker.DockerClient,
    web_image: str,
    healthcheck_image: str,
) -> None:
    image = registry.push(docker_engine, healthcheck_image, name)
    here, there = docker_engine.images.get(web_image), docker_engine.images.get(healthcheck_image)
    here.tag(*image.rsplit(":", 1))
    assert await made_of(provider, installation_id, docker_engine, image, "never") == here.id
    assert await made_of(provider, installation_id, docker_engine, image, "missing") == here.id
    assert await made_of(provider, installation_id, docker_engine, image, "always") == there.id
    gone()
    assert await made_of(provider, installation_id, docker_engine, image, "never") == there.id
    with pytest.raises(NotAvailableYet, match=f"image {image} cannot be pulled, and the pull policy is always") as away:
        await provider.apply(desire(installation_id, {"image": image, "pull": "always"}), OPEN)
    assert away.value.fields["image"] == image


async def test_an_image_can_be_named_by_its_digest(
    provider: DockerCompute,
    installation_id: str,
    registry: Registry,
    name: str,
    docker_engine: docker.DockerClient,
    web_image: str,
) -> None:
    image = registry.push(docker_engine, web_image, name)
    digest = docker_engine.images.get_registry_data(image).id
    exact = f"{image.rsplit(':', 1)[0]}@{digest}"
    web = docker_engine.images.get(web_image).id
    for pull in ("missing", "always", "never"):
        assert await made_of(provider, installation_id, docker_engine, exact, pull) == web


async def test_what_the_registry_lacks_is_named_and_may_come(
    provider: DockerCompute,
    installation_id: str,
    registry: Registry,
    name: str,
    docker_engine: docker.DockerClient,
    web_image: str,
) -> None:
    desired = desire(installation_id, {"image": f"{registry.address}/{name}"})
    with pytest.raises(
        NotAvailableYet, match=f"image {registry.address}/{name} is not on this machine and cannot"
    ) as lacking:
        await provider.apply(desired, OPEN)
    assert lacking.value.fields["code"] == 404
    assert await provider.list_owned(installation_id) == []
    registry.push(docker_engine, web_image, name)
    resource = await provider.apply(desired, OPEN)
    assert [found.id for found in await provider.list_owned(installation_id)] == [resource.id]


async def test_a_fresh_run_takes_what_the_registry_has_now(
    provider: DockerCompute,
    installation_id: str,
    registry: Registry,
    name: str,
    docker_engine: docker.DockerClient,
    web_image: str,
    healthcheck_image: str,
) -> None:
    image = registry.push(docker_engine, web_image, name)
    web, moved = docker_engine.images.get(web_image).id, docker_engine.images.get(healthcheck_image).id
    assert await made_of(provider, installation_id, docker_engine, image, "missing") == web
    registry.push(docker_engine, healthcheck_image, name)
    docker_engine.images.get(web).tag(*image.rsplit(":", 1))  # the push took the name away
    assert await made_of(provider, installation_id, docker_engine, image, "missing") == web
    fresh = replace(desire(installation_id, {"image": image}), fresh=True)
    resource = await provider.apply(fresh, OPEN)
    assert docker_engine.api.inspect_container(resource.id)["Image"] == moved


async def test_a_fresh_run_of_an_image_that_was_built_here_asks_no_registry(
    provider: DockerCompute, installation_id: str, docker_engine: docker.DockerClient, web_image: str
) -> None:
    resource = await provider.apply(replace(desire(installation_id, {"image": web_image}), fresh=True), OPEN)
    assert docker_engine.api.inspect_container(resource.id)["Image"] == docker_engine.images.get(web_image).id


async def test_a_registry_that_stalls_costs_the_attempt_and_no_thread(
    docker_engine: docker.DockerClient,
) -> None:
    """The SDK's pull has no time-out, and Docker Engine waits for ever."""
    provider = DockerCompute(pull_seconds=2)
    with stalling_registry() as address:
        desired = desire(f"test-{uuid4()}", {"image": f"{address}/stalls:1"})
        began = time.monotonic()
        with pytest.raises(NotAvailableYet, match="its registry sent nothing more for 2 s"):
            await provider.apply(desired, OPEN)
        assert time.monotonic() - began < 20
        await _no_thread_pulls()
    await provider.close()


async def test_a_pull_that_is_given_up_is_not_waited_for(docker_engine: docker.DockerClient) -> None:
    """As by LANDLORD_STEP_TIMEOUT_SECONDS, and by the end of its owner."""
    provider = DockerCompute(pull_seconds=5)
    with stalling_registry() as address:
        apply = provider.apply(desire(f"test-{uuid4()}", {"image": f"{address}/stalls:1"}), OPEN)
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await apply
        assert time.monotonic() - began < 4
        await _no_thread_pulls()  # it ends by the pull's own bound
    await provider.close()


async def _no_thread_pulls() -> None:
    async with asyncio.timeout(30):
        while any(thread.name.startswith("docker-pull") for thread in threading.enumerate()):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
