"""The docker provider on Podman, by Podman's Docker API."""

from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from uuid import UUID

import docker
import pytest
import pytest_asyncio

from providers.compute.docker.provider import DockerCompute
from providers.conformance.compute_capabilities import Belongings
from tests.contract.docker.another_engine import by_docker_host, docker_engine, web_image  # noqa: F401
from tests.contract.docker.test_compute_docker import TestDockerConforms as DockerConforms
from tests.podman import running_podman


@pytest.fixture(scope="module")
def address(short_dir: Path) -> Iterator[str]:
    (short_dir / "p").mkdir()
    with running_podman(short_dir / "p") as address:
        yield address


class TestPodmanConforms(DockerConforms):
    many = 30  # it lists all in one answer, as Docker Engine does

    # Podman's HEALTHCHECK is run by systemd, which is not on each machine of the suite.
    test_the_platform_runs_the_command_and_gives_its_verdict = None

    @pytest.fixture
    def belongings(self, docker_engine: docker.DockerClient) -> Belongings:  # noqa: F811
        async def of(installation_id: str, tenant_id: UUID) -> Sequence[str]:
            # Podman's lists match any of several labels.
            labels = {"landlord.owner": installation_id, "landlord.tenant-id": str(tenant_id)}.items()
            volumes = docker_engine.api.volumes()["Volumes"] or []
            found = [*volumes, *docker_engine.api.networks()]
            return [one["Name"] for one in found if labels <= (one["Labels"] or {}).items()]

        return of

    @pytest.fixture
    def refusal_code(self) -> object:
        return 500  # Docker Engine says 400

    @pytest_asyncio.fixture
    async def elsewhere(self, short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DockerCompute]:
        (short_dir / "q").mkdir(exist_ok=True)
        with running_podman(short_dir / "q") as address:
            provider = DockerCompute()
            with monkeypatch.context() as during:
                during.setenv("DOCKER_HOST", address)
                await provider.identity()
            yield provider
            await provider.close()
