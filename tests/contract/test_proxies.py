"""What goes through the proxy that the environment names, and what does not."""

import asyncio
from collections.abc import Iterator

import pytest

from controlplane.errors import Unavailable
from controlplane.local.environment import proxy_environment
from controlplane.model import Endpoint, HealthSpec
from controlplane.ports import Resource, ResourceState
from controlplane.steps.probe import HealthProber
from landlord_client import Client, Unreachable
from providers.compute.docker.engine import DockerEngine
from providers.compute.ecs.provider import EcsCompute
from providers.conformance.compute_bench import desire
from tests.proxy import Proxy, running_proxy

ADDRESS = "192.0.2.1"
"""Nobody has it: what goes there directly has no answer."""


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Named by the environment as `landlord up` passes it on."""
    with running_proxy() as proxy:
        for name, value in proxy_environment({"HTTP_PROXY": proxy.url, "HTTPS_PROXY": proxy.url}).items():
            monkeypatch.setenv(name, value)
        yield proxy


async def test_aws_is_asked_through_the_proxy(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    provider = EcsCompute()
    with pytest.raises(Unavailable, match="AWS does not answer"):
        await provider.ping()
    await provider.close()
    assert set(proxy.asked) <= {f"CONNECT {service}.eu-central-1.amazonaws.com:443" for service in ("sts", "ecs")}
    assert proxy.asked


async def test_nothing_else_goes_through_it(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """At this machine's address none would; at ADDRESS each would that asked the environment."""
    monkeypatch.setenv("DOCKER_HOST", f"tcp://{ADDRESS}:2375")
    docker = DockerEngine(timeout=1, connections=1)
    with pytest.raises(Unavailable):
        await asyncio.to_thread(docker.ping)
    prober = HealthProber()
    origin = desire("test", {}).origin
    at = Resource("id", "web", origin, ResourceState.RUNNING, (Endpoint("http", f"http://{ADDRESS}:80", 80),))
    health = HealthSpec.model_validate({"http": {}, "timeout_seconds": 0.5})
    assert not (await prober.probe(at, health)).healthy
    await prober.close()
    with Client(f"https://{ADDRESS}:8000", "t" * 32, timeout=0.5) as client, pytest.raises(Unreachable):
        client.get_tenant("acme")
    assert proxy.asked == []
