"""Registries as tenants have them, for real: with a login, with one that changes, with another address, and beside a
configuration of docker's own that is of no use."""

import base64
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import docker
import pytest
import pytest_asyncio

from controlplane.errors import NotAvailableYet, WaitsFor
from providers.compute.docker.provider import DockerCompute
from providers.conformance.compute_bench import Gate, desire
from providers.kit.secrets import Secrets
from tests.registry import USER, Registry

pytestmark = pytest.mark.docker

OPEN = Gate(True)
FIRST, SECOND = "first-password", "second-password"
LOGIN = {"secret": "file:registry"}

Write = Callable[[str], None]


@pytest_asyncio.fixture
async def provider(docker_engine: docker.DockerClient, tmp_path: Path) -> AsyncIterator[DockerCompute]:
    provider = DockerCompute(secrets=Secrets(tmp_path / "secrets"))
    yield provider
    await provider.close()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes the tenant's secret `file:registry`."""
    directory = tmp_path / "secrets" / "conform"
    directory.mkdir(parents=True)

    def write(text: str) -> None:
        (directory / "registry").write_text(text)

    return write


@pytest.fixture(autouse=True)
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes docker's own configuration, as `docker login` does. There is none yet."""
    (tmp_path / "docker").mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))

    def write(text: str) -> None:
        (tmp_path / "docker" / "config.json").write_text(text)

    return write


@pytest.fixture
def image(private_registry: Registry, docker_engine: docker.DockerClient, web_image: str) -> Iterator[str]:
    """In the registry that asks for a login, and not on this machine."""
    image = private_registry.push(docker_engine, web_image, f"tenants/{uuid4().hex[:8]}:1")
    yield image
    if docker_engine.images.list(image):
        docker_engine.images.remove(image, force=True)


async def pulled(provider: DockerCompute, installation_id: str, engine: docker.DockerClient, **config: Any) -> None:
    """A new tenant has it, and this machine has it no more."""
    await provider.apply(desire(installation_id, config), OPEN)
    for resource in await provider.list_owned(installation_id):
        await provider.destroy(resource.id)
    engine.images.remove(config["image"])


async def refused(provider: DockerCompute, installation_id: str, **config: Any) -> NotAvailableYet:
    with pytest.raises(NotAvailableYet) as found:
        await provider.apply(desire(installation_id, config), OPEN)
    assert await provider.list_owned(installation_id) == []
    for password in (FIRST, SECOND):
        for hidden in (password, base64.b64encode(password.encode()).decode()):
            assert hidden not in str(found.value) + repr(found.value.fields)
    return found.value


async def test_a_login_out_of_a_secret_that_is_renewed(
    provider: DockerCompute,
    installation_id: str,
    private_registry: Registry,
    docker_engine: docker.DockerClient,
    image: str,
    write: Write,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    without = await refused(provider, installation_id, image=image)
    assert without.waits_for == WaitsFor.ACCESS_REFUSED
    assert "login: none; a private image needs registry_auth" in without.message
    missing = await refused(provider, installation_id, image=image, registry_auth=LOGIN)
    assert missing.waits_for == WaitsFor.SECRET_MISSING
    write(f"{USER}:{FIRST}\n")
    await pulled(provider, installation_id, docker_engine, image=image, registry_auth=LOGIN)
    private_registry.ask_for(SECOND)
    old = await refused(provider, installation_id, image=image, registry_auth=LOGIN)
    assert old.waits_for == WaitsFor.ACCESS_REFUSED
    assert "(login: the login of registry_auth)" in old.message
    write(f"{USER}:{SECOND}")
    await pulled(provider, installation_id, docker_engine, image=image, registry_auth="file:registry")
    fresh = replace(desire(installation_id, {"image": image, "pull": "always", "registry_auth": LOGIN}), fresh=True)
    await provider.apply(fresh, OPEN)
    details = json.dumps([container.attrs for container in docker_engine.containers.list(all=True)])
    assert FIRST not in caplog.text + details
    assert SECOND not in caplog.text + details


async def test_a_secret_may_be_a_configuration_of_docker(
    provider: DockerCompute,
    installation_id: str,
    private_registry: Registry,
    docker_engine: docker.DockerClient,
    image: str,
    write: Write,
) -> None:
    coded = {"auth": base64.b64encode(f"{USER}:{FIRST}".encode()).decode()}
    for entry in (coded, {"username": USER, "password": FIRST}):
        write(json.dumps({"auths": {"ghcr.io": {}, f"https://{private_registry.address}/v1/": entry}}))
        await pulled(provider, installation_id, docker_engine, image=image, registry_auth=LOGIN)
    write(json.dumps({"auths": {"ghcr.io": coded}, "credsStore": "nothing"}))
    other = await refused(provider, installation_id, image=image, registry_auth=LOGIN)
    assert other.waits_for == WaitsFor.SECRET_MISSING
    assert f"it has no login for {private_registry.address}" in other.message


async def test_an_image_that_is_here_asks_for_no_login(
    provider: DockerCompute, installation_id: str, web_image: str
) -> None:
    await provider.apply(desire(installation_id, {"image": web_image, "registry_auth": LOGIN}), OPEN)


async def test_docker_login_after_the_start_is_used(
    provider: DockerCompute,
    installation_id: str,
    private_registry: Registry,
    docker_engine: docker.DockerClient,
    image: str,
    configure: Write,
) -> None:
    await refused(provider, installation_id, image=image)
    coded = base64.b64encode(f"{USER}:{FIRST}".encode()).decode()
    configure(json.dumps({"auths": {private_registry.address: {"auth": coded}}}))
    await pulled(provider, installation_id, docker_engine, image=image)


USELESS: list[dict[str, Any]] = [
    {"credsStore": "no-such-desktop"},
    {"credHelpers": {"REGISTRY": "no-such-helper"}},
    {"auths": {"REGISTRY": {"auth": "no base64, no colon"}}},
    {"auths": {"REGISTRY": "no entry"}},
]


async def test_a_useless_configuration_of_docker_is_no_login(
    installation_id: str,
    registry: Registry,
    private_registry: Registry,
    name: str,
    docker_engine: docker.DockerClient,
    web_image: str,
    image: str,
    configure: Write,
) -> None:
    public = registry.push(docker_engine, web_image, name)
    for useless in USELESS:
        configure(json.dumps(useless).replace("REGISTRY", private_registry.address))
        provider = DockerCompute()
        told = (await refused(provider, installation_id, image=image)).message
        assert "is not installed" in told or "docker's configuration on the control plane's machine" in told
        await provider.close()
    provider = DockerCompute()
    configure(json.dumps({"credsStore": "no-such-desktop"}))
    await pulled(provider, installation_id, docker_engine, image=public)
    await provider.close()


@contextmanager
def answering(status: int, to: str = "") -> Iterator[str]:
    """A registry, as `host:port`, that answers everything so; `to`: the address to which it has moved."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            if to:
                self.send_header("Location", f"http://{to}{self.path}")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


async def test_a_registry_that_has_moved_is_followed(
    provider: DockerCompute,
    installation_id: str,
    registry: Registry,
    name: str,
    docker_engine: docker.DockerClient,
    web_image: str,
) -> None:
    registry.push(docker_engine, web_image, name)
    with answering(307, registry.address) as address:
        await pulled(provider, installation_id, docker_engine, image=f"{address}/{name}")


@pytest.mark.parametrize(
    ("status", "waits_for"),
    [
        (403, WaitsFor.ACCESS_REFUSED),
        (404, WaitsFor.IMAGE_NOT_FOUND),
        (429, WaitsFor.PLATFORM_UNAVAILABLE),
        (503, WaitsFor.PLATFORM_UNAVAILABLE),
    ],
)
async def test_what_a_registry_answers_is_waited_for_by_its_kind(
    provider: DockerCompute, installation_id: str, status: int, waits_for: WaitsFor
) -> None:
    with answering(status) as address:
        found = await refused(provider, installation_id, image=f"{address}/tenants/web:1")
    assert found.waits_for == waits_for, found.message
