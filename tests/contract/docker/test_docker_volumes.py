"""Images that keep data in a volume of their own making (VOLUME), on the real Docker Engine."""

from collections.abc import Iterator
from uuid import uuid4

import docker
import pytest

from controlplane.errors import InvalidConfig
from providers.compute.docker.provider import DockerCompute
from providers.conformance.compute_bench import Gate, desire

pytestmark = pytest.mark.docker

OPEN = Gate(True)


@pytest.fixture
def database_image(docker_engine: docker.DockerClient, web_image: str) -> Iterator[str]:
    """As those of databases are: two places with data."""
    repository = f"landlord-test-volume-{uuid4().hex[:8]}"
    container = docker_engine.containers.create(web_image, ["/entry"])
    container.commit(repository, "1", changes=["VOLUME /var/lib/db/", "VOLUME /log"])
    container.remove()
    yield f"{repository}:1"
    docker_engine.images.remove(f"{repository}:1", force=True)


def volumes(engine: docker.DockerClient) -> set[str]:
    return {volume.name for volume in engine.volumes.list()}


async def test_it_is_refused_until_its_volumes_are_named(
    provider: DockerCompute, installation_id: str, database_image: str, docker_engine: docker.DockerClient
) -> None:
    before = volumes(docker_engine)
    for named, left in (([], "/log, /var/lib/db/"), (["logs:/log"], "/var/lib/db/"), (["db:/var/lib"], "/log, /var")):
        desired = desire(installation_id, {"image": database_image, "volumes": named})
        with pytest.raises(InvalidConfig, match=f"keeps data in {left}") as refused:
            await provider.apply(desired, OPEN)
        assert refused.value.errors[0]["loc"] == "volumes"
        assert "`var-lib-db:/var/lib/db/`" in refused.value.message
    assert await provider.list_owned(installation_id) == []
    assert volumes(docker_engine) == before, "a refusal leaves nothing behind"


async def test_named_volumes_keep_their_data_and_there_is_no_other(
    provider: DockerCompute, installation_id: str, database_image: str, docker_engine: docker.DockerClient
) -> None:
    before = volumes(docker_engine)
    config = {"image": database_image, "volumes": ["data:/var/lib/db"], "tmpfs": ["/log/"]}
    first = desire(installation_id, config)
    made = await provider.apply(first, OPEN)
    docker_engine.containers.get(made.id).exec_run(["touch", "/var/lib/db/kept"])
    await provider.destroy(made.id)
    changed = {**config, "env": {"COLOR": "blue"}}
    second = desire(installation_id, changed, tenant_id=first.origin.tenant_id, generation=2)
    made = await provider.apply(second, OPEN)
    assert docker_engine.containers.get(made.id).exec_run(["ls", "/var/lib/db"]).output == b"kept\n"
    assert len(volumes(docker_engine) - before) == 1
    await provider.destroy(made.id)
    await provider.forget(installation_id, first.origin.tenant_id)
    assert volumes(docker_engine) == before
