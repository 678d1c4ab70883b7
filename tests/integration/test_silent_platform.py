"""A platform that accepts and never answers: nothing but its own effects waits for it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from controlplane.errors import Unavailable
from controlplane.ports import ProviderHealth
from providers.compute.docker import provider as docker_provider
from providers.compute.docker.provider import THREADS, DockerCompute
from providers.compute.ecs.provider import EcsCompute
from providers.conformance.compute_bench import desire
from providers.conformance.compute_silent import SilentPlatformConformance
from tests.fakes import StubPlatform
from tests.integration.api_replica import api_on
from tests.silent import silent_port, silent_socket

AT_ONCE = 5.0
"""Far less than any time-out of an SDK, and enough for a machine that is busy."""


@pytest.fixture
def silent_docker(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with silent_socket(short_dir / f"{uuid4().hex[:6]}.sock") as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        yield


@pytest_asyncio.fixture
async def docker(silent_docker: None) -> AsyncIterator[DockerCompute]:
    provider = DockerCompute()
    yield provider
    await provider.close()


@pytest_asyncio.fixture
async def ecs(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EcsCompute]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with silent_port() as url:
        provider = EcsCompute(endpoint_url=url)
        yield provider
        await provider.close()


class TestDockerIsSilent(SilentPlatformConformance):
    @pytest.fixture
    def silent(self, docker: DockerCompute) -> DockerCompute:
        return docker


class TestEcsIsSilent(SilentPlatformConformance):
    unknown_id = "arn:aws:ecs:eu-central-1:000000000000:service/none/none"

    @pytest.fixture
    def silent(self, ecs: EcsCompute) -> EcsCompute:
        return ecs


class Also(StubPlatform):
    """A stub whose health is that of a real provider."""

    def __init__(self, real: DockerCompute) -> None:
        super().__init__()
        self._real = real

    async def health(self) -> ProviderHealth:
        return await self._real.health()


async def test_readiness_and_the_list_of_providers_do_not_wait_for_it(docker: DockerCompute, database_url: str) -> None:
    async with api_on(database_url, cloud=Also(docker)) as api:
        await api.beat()
        began = time.monotonic()
        ready = await api.client.get("/readyz")
        assert time.monotonic() - began < AT_ONCE
        assert (ready.status_code, ready.json()["ready"]) == (200, True)
        assert ready.json()["providers"]["cloud"]["ok"] is False
        for _ in range(3):
            began = time.monotonic()
            listed = (await api.client.get("/v1/providers")).json()["compute"]
            assert time.monotonic() - began < 2 + AT_ONCE
            (shown,) = [one for one in listed if one["name"] == "cloud"]
            assert shown["healthy"] is False
            assert shown["detail"].startswith("unknown: not answering since 20"), shown
            assert [one["healthy"] for one in listed if one["name"] == "process"] == [True]
        assert "not answering since" in (await api.client.get("/readyz")).json()["providers"]["cloud"]["detail"]
        assert docker._threads.abandoned == 0, "one call is under way, for all that ask"


async def test_looks_at_docker_return_at_once_when_they_are_given_up(docker: DockerCompute) -> None:
    await _looks_are_abandoned(docker)
    await _further_ones_fail_at_once(docker)


async def test_looks_at_ecs_return_at_once_when_they_are_given_up(ecs: EcsCompute) -> None:
    await _looks_are_abandoned(ecs)
    await _further_ones_fail_at_once(ecs)


async def _further_ones_fail_at_once(provider: DockerCompute | EcsCompute) -> None:
    """Its threads are full of calls that hang."""
    began = time.monotonic()
    with pytest.raises(Unavailable, match=f"{provider.name}-look does not answer: {THREADS} calls hang"):
        await provider.list_owned("an-owner")
    assert time.monotonic() - began < AT_ONCE
    assert provider._threads.abandoned == THREADS


async def _looks_are_abandoned(provider: DockerCompute | EcsCompute) -> None:
    origin = desire("an-owner", {}).origin
    looks: list[Callable[[], Awaitable[object]]] = [
        provider.identity,
        provider.ping,
        lambda: provider.observe(origin),
        lambda: provider.list_owned("an-owner"),
    ]
    for look in looks * (THREADS // len(looks)):
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await look()
        assert time.monotonic() - began < AT_ONCE


async def test_an_effect_is_waited_for_and_does_not_wait_for_looks(
    docker: DockerCompute,
) -> None:
    await _looks_are_abandoned(docker)
    begun = asyncio.create_task(docker.stop("a-container"))
    await asyncio.sleep(0)
    begun.cancel()
    done, _ = await asyncio.wait({begun}, timeout=0.5)
    assert not done, "a runner that was stopped has no effect in flight"


async def test_callers_share_one_attempt_to_connect(silent_docker: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """And do not queue behind one another, each for its own time-out."""
    monkeypatch.setattr(docker_provider, "TIMEOUT_SECONDS", 1)
    provider = DockerCompute()
    began = time.monotonic()
    failed = await asyncio.gather(*(provider.identity() for _ in range(THREADS)), return_exceptions=True)
    assert time.monotonic() - began < 1 + AT_ONCE
    assert all(isinstance(error, Unavailable) for error in failed), failed
    await provider.close()
