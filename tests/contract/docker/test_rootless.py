"""The docker provider on a rootless Docker Engine."""

from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import docker
import pytest
import pytest_asyncio

from providers.compute.docker.provider import DockerCompute
from tests.contract.docker.another_engine import by_docker_host, docker_engine, web_image  # noqa: F401
from tests.contract.docker.test_compute_docker import TestDockerConforms as DockerConforms
from tests.rootless import running_rootless

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def address(short_dir: Path) -> Iterator[str]:
    (short_dir / "r").mkdir()
    with running_rootless(short_dir / "r") as address:
        with closing(docker.DockerClient(address, version="auto", timeout=30)) as client:
            assert "name=rootless" in client.info()["SecurityOptions"]
        yield address


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
