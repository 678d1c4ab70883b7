"""The docker provider as its tests have it: on the real Docker Engine, all that is its owner's gone at the end."""

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from uuid import uuid4

import docker
import pytest
import pytest_asyncio
from docker.errors import ImageNotFound

from providers.compute.docker.policy import DockerPolicy
from providers.compute.docker.provider import DockerCompute
from tests.registry import Registry


@pytest_asyncio.fixture
async def provider(docker_engine: docker.DockerClient) -> AsyncIterator[DockerCompute]:
    provider = DockerCompute(policy=DockerPolicy(networks=("landlordless-net",)))
    yield provider
    await provider.close()


@pytest_asyncio.fixture
async def installation_id(provider: DockerCompute) -> AsyncIterator[str]:
    installation_id = f"test-{uuid4()}"
    yield installation_id
    for resource in await provider.list_owned(installation_id):
        await provider.destroy(resource.id)


@pytest.fixture
def name(registry: Registry, docker_engine: docker.DockerClient, installation_id: str) -> Iterator[str]:
    """Of an image that exists nowhere yet; no name of it is left on this machine."""
    repository = f"tenants/{uuid4().hex[:8]}"
    yield f"{repository}:1"
    for image in docker_engine.images.list(f"{registry.address}/{repository}"):
        for reference in (*image.tags, *image.attrs["RepoDigests"]):
            if repository in reference:
                with suppress(ImageNotFound):  # the digest goes with the last name
                    docker_engine.images.remove(reference, force=True)
