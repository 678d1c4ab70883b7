"""Fixtures by which a module's tests use the engine at its fixture `address`, instead of the suite's Docker Engine, for
all that they build and look at."""

from collections.abc import Iterator

import docker
import pytest

from tests.engines import build_web_image


@pytest.fixture(scope="module")
def docker_engine(address: str) -> Iterator[docker.DockerClient]:
    client = docker.DockerClient(address, version="auto", timeout=30)
    yield client
    client.close()


@pytest.fixture(scope="module")
def web_image(docker_engine: docker.DockerClient) -> str:
    return build_web_image(docker_engine)


@pytest.fixture(autouse=True)
def by_docker_host(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
