"""What bears our owner's label is listed and can be removed, with any or no other label."""

from collections.abc import Iterator
from uuid import uuid4

import docker
import pytest

from controlplane.ports import OWNER_LABEL, TENANT_ID_LABEL, Origin
from providers.compute.docker.provider import DockerCompute
from providers.conformance.compute_bench import Gate, desire


@pytest.fixture
def volumes(docker_engine: docker.DockerClient, installation_id: str) -> Iterator[list[str]]:
    """With our owner's label, and of no tenant; beside them a network of the kind."""
    names = [f"stray-{uuid4().hex[:8]}" for _ in range(2)]
    labels = [{OWNER_LABEL: installation_id}, {OWNER_LABEL: installation_id, TENANT_ID_LABEL: "nobody"}]
    made = [docker_engine.volumes.create(name, labels=given) for name, given in zip(names, labels, strict=True)]
    network = docker_engine.networks.create(names[0], labels=labels[0])
    yield names
    network.remove()
    for volume in made:
        volume.remove()


async def test_a_volume_of_no_tenant_breaks_no_list(
    provider: DockerCompute, installation_id: str, volumes: list[str], web_image: str
) -> None:
    assert await provider.tenants_with_belongings(installation_id) == set()
    desired = desire(installation_id, {"image": web_image, "volumes": ["data:/data"]})
    made = await provider.apply(desired, Gate(True))
    assert await provider.tenants_with_belongings(installation_id) == {desired.origin.tenant_id}
    await provider.destroy(made.id)
    await provider.forget(installation_id, desired.origin.tenant_id)


@pytest.mark.parametrize("more", [{}, {TENANT_ID_LABEL: "nobody", "landlord.generation": "many"}])
async def test_a_container_with_our_owners_label_alone_is_listed_and_can_go(
    provider: DockerCompute,
    installation_id: str,
    web_image: str,
    docker_engine: docker.DockerClient,
    more: dict[str, str],
) -> None:
    name = f"stray-{uuid4().hex[:8]}"
    docker_engine.containers.create(web_image, name=name, labels={OWNER_LABEL: installation_id, **more})
    (found,) = await provider.list_owned(installation_id)
    assert (found.name, found.origin.installation_id, found.origin.execution_id) == (name, installation_id, "")
    assert Origin.from_labels({OWNER_LABEL: installation_id}) == found.origin
    assert await provider.list_owned(installation_id, uuid4()) == []
    await provider.destroy(found.id)
    assert await provider.list_owned(installation_id) == []
