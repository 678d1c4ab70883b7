"""The docker provider and an engine on another machine, by TLS and by ssh."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import docker
import pytest
import pytest_asyncio

from controlplane.errors import InvalidConfig, Unavailable
from controlplane.model import HealthSpec
from controlplane.ports import Resource
from controlplane.steps.probe import HealthProber
from providers.compute.docker.policy import DockerPolicy
from providers.compute.docker.provider import DockerCompute
from providers.conformance.compute_bench import desire
from tests.contract.docker.test_compute_docker import OPEN, answer, prober, web
from tests.remote_engine import RemoteEngine, running_remote_engine

__all__ = ["prober"]
pytestmark = pytest.mark.docker

PUBLISH = ("127.0.0.1", "0.0.0.0")


@pytest.fixture(scope="module")
def remote(short_dir: Path) -> Iterator[RemoteEngine]:
    (short_dir / "r").mkdir()
    with running_remote_engine(short_dir / "r") as engine:
        yield engine


@pytest.fixture
def environ(remote: RemoteEngine, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """That of a client with the right certificates, and a proxy that must not be asked."""
    for name, value in {
        "DOCKER_HOST": remote.by_tls,
        "DOCKER_TLS_VERIFY": "1",
        "DOCKER_CERT_PATH": str(remote.certificates),
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "ALL_PROXY": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest_asyncio.fixture
async def provider(environ: pytest.MonkeyPatch) -> AsyncIterator[DockerCompute]:
    provider = DockerCompute(policy=DockerPolicy(publish=PUBLISH))
    yield provider
    await provider.close()


def open_web(remote: RemoteEngine) -> dict[str, object]:
    return web(remote.image, ports=[{"container_port": 8080, "host_ip": "0.0.0.0"}])


async def served(provider: DockerCompute, remote: RemoteEngine, prober: HealthProber) -> Resource:
    """A tenant of the other machine, seen by a probe from here."""
    provider.validate(open_web(remote), HealthSpec.model_validate({"http": {}}))
    resource = await provider.apply(desire(f"test-{uuid4()}", open_web(remote)), OPEN)
    (endpoint,) = resource.endpoints
    assert endpoint.url.startswith(f"http://{remote.address}:")
    assert remote.address in await answer(prober, resource)
    (listed,) = await provider.list_owned(resource.origin.installation_id)
    assert listed.endpoints == resource.endpoints
    return resource


async def test_endpoints_and_probes_are_at_its_address(
    provider: DockerCompute, remote: RemoteEngine, prober: HealthProber
) -> None:
    resource = await served(provider, remote, prober)
    await provider.destroy(resource.id)
    assert await provider.inspect(resource.id) is None


async def test_ssh_takes_hosts_and_keys_from_the_configuration_of_ssh(
    environ: pytest.MonkeyPatch, provider: DockerCompute, remote: RemoteEngine, prober: HealthProber
) -> None:
    environ.setenv("DOCKER_HOST", remote.by_ssh)
    environ.setenv("PATH", str(remote.program), prepend=":")
    resource = await served(provider, remote, prober)
    assert "8080" not in await provider.logs(resource.id, 5)
    await provider.destroy(resource.id)
    by_tls = DockerCompute()
    environ.setenv("DOCKER_HOST", remote.by_tls)
    assert await by_tls.identity() == await provider.identity()
    await by_tls.close()


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("ssh://stranger@other-machine", "ssh: .*Permission denied"),
        ("ssh://root@127.0.0.1:9", "ssh: .*Connection refused"),
    ],
)
async def test_a_refusal_by_ssh_is_told_in_its_own_words(
    environ: pytest.MonkeyPatch, provider: DockerCompute, remote: RemoteEngine, host: str, message: str
) -> None:
    environ.setenv("DOCKER_HOST", host)
    environ.setenv("PATH", str(remote.program), prepend=":")
    with pytest.raises(Unavailable, match=message):
        await provider.ping()


async def test_a_port_on_its_loopback_is_refused_where_it_would_be_probed(
    provider: DockerCompute, remote: RemoteEngine
) -> None:
    probed = HealthSpec.model_validate({"http": {}})
    with pytest.raises(InvalidConfig) as refused:
        provider.validate(web(remote.image), probed)
    (error,) = refused.value.errors
    assert error["loc"] == "ports.0.host_ip"
    assert f"the Docker Engine is on {remote.address}" in error["message"]
    provider.validate(web(remote.image), HealthSpec())
    resource = await provider.apply(desire(f"test-{uuid4()}", web(remote.image)), OPEN)
    assert resource.endpoints == ()
    await provider.destroy(resource.id)


async def test_a_setting_says_where_ports_are_reached_behind_a_tunnel(
    environ: pytest.MonkeyPatch, remote: RemoteEngine
) -> None:
    provider = DockerCompute(policy=DockerPolicy(publish=PUBLISH), ports_at="tenants.example.com")
    resource = await provider.apply(desire(f"test-{uuid4()}", open_web(remote)), OPEN)
    assert resource.endpoints[0].url.startswith("http://tenants.example.com:")
    await provider.destroy(resource.id)
    await provider.close()


async def test_what_is_wrong_with_certificates_is_said(
    environ: pytest.MonkeyPatch, remote: RemoteEngine, tmp_path: Path
) -> None:
    async def told() -> str:
        provider = DockerCompute()
        with pytest.raises(Unavailable) as away:
            await provider.ping()
        await provider.close()
        return str(away.value)

    environ.setenv("DOCKER_CERT_PATH", str(tmp_path))
    assert "ca.pem and cert.pem and key.pem cannot be read in the directory of DOCKER_CERT_PATH" in await told()
    environ.setenv("DOCKER_CERT_PATH", str(remote.certificates.parent / "stranger"))
    assert "its certificate is refused (" in await told()
    environ.delenv("DOCKER_TLS_VERIFY")
    environ.delenv("DOCKER_CERT_PATH")
    assert "Client sent an HTTP request to an HTTPS server" in await told()


async def test_a_context_of_the_docker_command_is_found(
    environ: pytest.MonkeyPatch, remote: RemoteEngine, tmp_path: Path, provider: DockerCompute
) -> None:
    here = await provider.identity()
    for name in ("DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        environ.delenv(name)
    environ.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text("{}")  # the SDK looks for contexts beside it
    docker.ContextAPI.create_context(
        "elsewhere",
        host=remote.by_tls,
        tls_cfg=docker.tls.TLSConfig(
            client_cert=(str(remote.certificates / "cert.pem"), str(remote.certificates / "key.pem")),
            ca_cert=str(remote.certificates / "ca.pem"),
            verify=True,
        ),
    )
    environ.setenv("DOCKER_CONTEXT", "elsewhere")
    (tmp_path / "config.json").unlink()
    by_context = DockerCompute()
    assert await by_context.identity() == here
    await by_context.close()
