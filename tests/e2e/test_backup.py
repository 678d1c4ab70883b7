"""Everything but the platform is lost, and made again from a backup; tenants notice nothing."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.e2e.installation import Installation, free_port, ready
from tests.e2e.test_path import docker_spec

pytestmark = [pytest.mark.long, pytest.mark.docker, pytest.mark.cluster, pytest.mark.timeout(900)]


@pytest.fixture
def homes(docker_engine: object) -> Iterator[tuple[Installation, Installation]]:
    """The machine that is lost, and the one that takes its place."""
    places = [Path(tempfile.mkdtemp(prefix="ll-bk-")) for _ in range(2)]
    lost, next_one = (Installation(place, free_port(), LANDLORD_COMPUTE_PROVIDERS="docker,fake") for place in places)
    lost.up()
    yield lost, next_one
    lost.run("down", check=False)
    next_one.run("down", "--purge", check=False, timeout=300)
    for place in places:
        shutil.rmtree(place, ignore_errors=True)


async def test_everything_is_lost_and_comes_back(
    homes: tuple[Installation, Installation], web_image: str, tmp_path: Path
) -> None:
    lost, next_one = homes
    secrets = lost.home / "secrets" / "shared"
    secrets.mkdir(parents=True)
    (secrets / "colour").write_text("blue")
    spec = docker_spec(web_image, "red")
    spec["compute"]["config"]["env"]["COLOR"] = {"secret": "file:colour"}
    async with lost.http() as client:
        for name, compute in (("kept", spec), ("made-again", {"compute": {"provider": "fake", "config": {}}})):
            answer = await client.post("/tenants", json={"name": name, "spec": compute})
            assert answer.status_code == 202, answer.text
        before = await ready(client, "kept")
        await ready(client, "made-again")
    engine = docker.from_env()
    container = engine.containers.get(before["observed"]["resources"]["container"])
    began = container.attrs["State"]["StartedAt"]

    file = tmp_path / "landlord.tar"
    said = lost.run("backup", str(file)).stdout
    assert "2 tenants" in said
    lost.down()
    shutil.rmtree(lost.home)

    restored = next_one.run("restore", str(file), timeout=600)
    assert "No differences" in restored.stdout
    assert (next_one.home / "secrets" / "shared" / "colour").read_text() == "blue"
    async with next_one.http() as client:
        after = await ready(client, "kept")
        assert after["observed"]["resources"] == before["observed"]["resources"]
        container.reload()
        assert (container.status, container.attrs["State"]["StartedAt"]) == ("running", began)
        await ready(client, "made-again")
        changed = await client.patch("/tenants/kept", json={"labels": {"after": "loss"}})
        assert changed.status_code == 200, changed.text
    assert "as it was written" in next_one.run("events", "verify").stdout
    assert "No differences" in next_one.run("doctor").stdout
    again = next_one.run("restore", str(file), check=False)
    assert again.returncode == 2
    assert "holds an installation already" in again.stderr
