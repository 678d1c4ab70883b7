"""The docker provider on a rootless Docker Engine."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import docker
import pytest
import pytest_asyncio

from providers.compute.docker.provider import DockerCompute
from tests.contract.docker.test_compute_docker import TestDockerConforms as DockerConforms
from tests.engines import build_web_image
from tests.rootless import running_rootless

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def rootless(short_dir: Path) -> Iterator[str]:
    (short_dir / "r").mkdir()
    with running_rootless(short_dir / "r") as address:
        yield address


@pytest.fixture(scope="module")
def docker_engine(rootless: str) -> Iterator[docker.DockerClient]:
    """Instead of the suite's Docker Engine, for all that these tests build and look at."""
    client = docker.DockerClient(rootless, version="auto", timeout=30)
    assert "name=rootless" in client.info()["SecurityOptions"]
    yield client
    client.close()


@pytest.fixture(scope="module")
def web_image(docker_engine: docker.DockerClient) -> str:
    return build_web_image(docker_engine)


@pytest.fixture(autouse=True)
def by_docker_host(rootless: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", rootless)


class TestRootlessConforms(DockerConforms):
    many = 30

    @pytest_asyncio.fixture
    async def elsewhere(self, short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DockerCompute]:
        (short_dir / "s").mkdir(exist_ok=True)
        with running_rootless(short_dir / "s") as address:
            provider = DockerCompute()
            with monkeypatch.context() as during:
                during.setenv("DOCKER_HOST", address)
                await provider.identity()
            yield provider
            await provider.close()
