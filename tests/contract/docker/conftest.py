"""The docker provider as its tests have it: on the real Docker Engine, all that is its owner's gone at the end."""

from collections.abc import AsyncIterator
from uuid import uuid4

import docker
import pytest_asyncio

from providers.compute.docker.policy import DockerPolicy
from providers.compute.docker.provider import DockerCompute


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
