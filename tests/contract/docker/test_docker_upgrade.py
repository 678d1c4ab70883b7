"""A Docker Engine that is replaced or restarted under the provider."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import docker
import pytest

from controlplane.errors import Unavailable
from controlplane.ports import ResourceState
from providers.compute.docker.provider import DockerCompute
from providers.conformance.compute_bench import desire
from tests.contract.docker.test_compute_docker import OPEN
from tests.engines import Engine, build_web_image

pytestmark = pytest.mark.docker


@pytest.mark.parametrize("before", ["1.10", "1.99"])
async def test_the_version_is_agreed_on_again_once_it_is_refused(provider: DockerCompute, before: str) -> None:
    """The engine's own refusals, of a version that it no longer speaks, and of one that an older engine does not."""
    await provider.ping()
    agreed = provider._engine._api._version  # type: ignore[union-attr]
    provider._engine._api._version = before  # type: ignore[union-attr]
    with pytest.raises(Unavailable, match=f"Docker Engine was replaced meanwhile: client version {before} is too"):
        await provider.list_owned("test-nobody")
    assert await provider.list_owned("test-nobody") == []
    assert provider._engine._api._version == agreed  # type: ignore[union-attr]


@pytest.fixture
def engine(short_dir: Path) -> Iterator[Engine]:
    (short_dir / "u").mkdir()
    engine = Engine(short_dir / "u", "--live-restore")
    engine.start()
    yield engine
    engine.stop()
    subprocess.run(["umount", short_dir / "u" / "data"], check=True)  # `live-restore` keeps the mount that it makes


async def test_containers_outlive_the_engine_and_are_found_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", engine.address)
    client = docker.DockerClient(engine.address, version="auto")
    image = build_web_image(client)
    client.close()
    provider = DockerCompute()
    desired = desire(f"test-{uuid4()}", {"image": image, "network": "none"})
    made = await provider.apply(desired, OPEN)
    engine.stop()
    with pytest.raises(Unavailable, match="Docker Engine does not answer"):
        await provider.inspect(made.id)
    engine.start()
    found = await provider.inspect(made.id)
    assert found is not None
    assert (found.id, found.state) == (made.id, ResourceState.RUNNING)
    await provider.destroy(made.id)
    await provider.close()
