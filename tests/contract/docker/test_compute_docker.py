"""The docker provider against a real Docker Engine."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import docker
import httpx
import pytest
import pytest_asyncio
import requests

from controlplane.errors import InvalidConfig, LandlordError, NotAvailableYet, Unavailable
from controlplane.model import HealthSpec
from controlplane.ports import DesiredResource, Resource, ResourceState
from controlplane.steps.probe import HealthProber
from providers.compute.docker import engine
from providers.compute.docker.provider import DockerCompute
from providers.conformance.compute import ComputeConformance
from providers.conformance.compute_bench import SECRET, Effect, Gate, LoseAnswer, desire
from providers.conformance.compute_capabilities import (
    Belongings,
    BelongingsConformance,
    CommandsConformance,
    ExecProbesConformance,
    FollowsLogsConformance,
    LogsConformance,
)
from providers.kit.secrets import Secrets

pytestmark = pytest.mark.docker

OPEN = Gate(True)


@pytest_asyncio.fixture
async def prober() -> AsyncIterator[HealthProber]:
    prober = HealthProber()
    yield prober
    await prober.close()


def web(image: str, **changes: Any) -> dict[str, Any]:
    return {"image": image, "env": {"COLOR": "blue"}, "ports": [{"container_port": 8080}]} | changes


async def answer(prober: HealthProber, resource: Resource, **health: Any) -> str:
    """What the probe says once it is healthy."""
    async with asyncio.timeout(10):
        while True:
            result = await prober.probe(resource, HealthSpec.model_validate(health or {"http": {}}))
            if result.healthy:
                return result.detail
            await asyncio.sleep(0.05)


async def stopped(provider: DockerCompute, resource: Resource, *, within: float = 10) -> Resource:
    async with asyncio.timeout(within):
        while True:
            seen = await provider.inspect(resource.id)
            assert seen is not None
            if seen.state is ResourceState.STOPPED:
                return seen
            await asyncio.sleep(0.05)


class TestDockerConforms(
    ComputeConformance,
    LogsConformance,
    FollowsLogsConformance,
    CommandsConformance,
    ExecProbesConformance,
    BelongingsConformance,
):
    many = 60  # it lists all in one answer, and each tenant costs a network

    @pytest_asyncio.fixture
    async def provider(self, docker_engine: docker.DockerClient) -> AsyncIterator[DockerCompute]:
        provider = DockerCompute()
        yield provider
        await provider.close()

    @pytest_asyncio.fixture
    async def another(self, docker_engine: docker.DockerClient) -> AsyncIterator[DockerCompute]:
        provider = DockerCompute()
        yield provider
        await provider.close()

    @pytest_asyncio.fixture
    async def elsewhere(
        self, another_docker_engine: str, monkeypatch: pytest.MonkeyPatch
    ) -> AsyncIterator[DockerCompute]:
        provider = DockerCompute()
        with monkeypatch.context() as during:
            during.setenv("DOCKER_HOST", another_docker_engine)
            await provider.identity()  # it connects at its first call
        yield provider
        await provider.close()

    @pytest.fixture
    def lose_answer(self, monkeypatch: pytest.MonkeyPatch) -> LoseAnswer:
        """The engine has done it; the SDK says what it says where no answer comes in time."""

        def lose(effect: Effect) -> None:
            call = {"create": "create_container_from_config", "start": "start", "destroy": "remove_container"}[effect]
            real = getattr(docker.APIClient, call)

            def done_in_vain(api: docker.APIClient, *args: Any, **kwargs: Any) -> None:
                monkeypatch.setattr(docker.APIClient, call, real)
                real(api, *args, **kwargs)
                raise requests.ReadTimeout("Read timed out. (read timeout=30)")

            monkeypatch.setattr(docker.APIClient, call, done_in_vain)

        return lose

    @pytest.fixture
    def good_config(self, web_image: str) -> Mapping[str, Any]:
        return web(web_image)

    @pytest.fixture
    def changed_config(self, web_image: str) -> Mapping[str, Any]:
        return web(web_image, env={"COLOR": "green"})

    @pytest.fixture
    def counting_config(self, web_image: str) -> Mapping[str, Any]:
        return web(web_image, command=["sh", "-c", "n=0; while n=$((n + 1)); do echo $n; sleep 0.01; done"])

    @pytest.fixture
    def refused_config(self, web_image: str) -> Mapping[str, Any]:
        return web(web_image, env={"TOKEN": SECRET}, command=["no-such-program", SECRET])

    @pytest.fixture
    def refusal_code(self) -> object:
        return 400

    @pytest.fixture
    def good_command(self) -> list[str]:
        return ["/bin/test", "-d", "/bin"]

    @pytest.fixture
    def bad_command(self) -> list[str]:
        return ["/bin/test", "-f", "/nowhere"]

    @pytest.fixture
    def keeping_config(self, web_image: str) -> Mapping[str, Any]:
        return web(web_image, volumes=["data:/data"], network="tenant")

    @pytest.fixture
    def belongings(self, docker_engine: docker.DockerClient) -> Belongings:
        async def of(installation_id: str, tenant_id: UUID) -> Sequence[str]:
            labels = {"label": [f"landlord.owner={installation_id}", f"landlord.tenant-id={tenant_id}"]}
            volumes = docker_engine.api.volumes(filters=labels)["Volumes"] or []
            networks = docker_engine.api.networks(filters=labels)
            return [*(volume["Name"] for volume in volumes), *(network["Name"] for network in networks)]

        return of

    @pytest.fixture
    def invalid_config(self) -> Mapping[str, Any]:
        return {"image": "web:1", "env": {"TOKEN": 7}, "ports": [{"container_port": 0}]}


async def test_it_serves_on_loopback_and_moves_when_restarted(
    provider: DockerCompute, installation_id: str, prober: HealthProber, web_image: str
) -> None:
    resource = await provider.apply(desire(installation_id, web(web_image)), OPEN)
    (endpoint,) = resource.endpoints
    assert (endpoint.name, endpoint.port) == ("http", 8080)
    assert endpoint.url.startswith("http://127.0.0.1:")
    assert await answer(prober, resource) == f"GET {endpoint.url}/ answered 200"
    await provider.stop(resource.id)
    stopped = await provider.inspect(resource.id)
    assert stopped is not None
    assert stopped.endpoints == ()
    await provider.start(resource.id)
    again = await provider.inspect(resource.id)
    assert again is not None
    await answer(prober, again)


async def test_a_secret_is_put_in_its_place_when_the_container_is_made(
    installation_id: str, web_image: str, prober: HealthProber, tmp_path: Path
) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "color").write_text("from-the-file\n")
    provider = DockerCompute(secrets=Secrets(tmp_path))
    config = web(web_image, env={"COLOR": {"secret": "file:color"}})
    resource = await provider.apply(desire(installation_id, config), OPEN)
    await answer(prober, resource)
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(resource.endpoints[0].url)).text.strip() == "from-the-file"
    with pytest.raises(NotAvailableYet, match="file:another"):
        await provider.apply(desire(installation_id, web(web_image, env={"COLOR": {"secret": "file:another"}})), OPEN)
    await provider.close()


async def test_a_fixed_port_that_is_taken_is_named_and_may_come_free(
    provider: DockerCompute, installation_id: str, web_image: str
) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        desired = desire(installation_id, web(web_image, ports=[{"container_port": 8080, "host_port": port}]))
        for _ in range(2):
            with pytest.raises(NotAvailableYet, match=f"port {port} on 127.0.0.1 is already in use"):
                await provider.apply(desired, OPEN)
        left = await provider.observe(desired.origin)
        assert left is not None
        assert left.state is ResourceState.CREATED
    resource = await provider.apply(desired, OPEN)
    assert resource.id == left.id
    assert [endpoint.url for endpoint in resource.endpoints] == [f"http://127.0.0.1:{port}"]


async def test_two_generations_with_one_fixed_port_one_after_the_other(
    provider: DockerCompute, installation_id: str, prober: HealthProber, web_image: str
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = web(web_image, ports=[{"container_port": 8080, "host_port": port}])
    assert provider.exclusive(config, config)
    older = desire(installation_id, config)
    newer = desire(installation_id, config, tenant_id=older.origin.tenant_id, generation=2)
    first = await provider.apply(older, OPEN)
    with pytest.raises(NotAvailableYet, match=str(port)):
        await provider.apply(newer, OPEN)
    await provider.stop(first.id)
    second = await provider.apply(newer, OPEN)
    await answer(prober, second)
    await provider.stop(second.id)
    await provider.start(first.id)
    back = await provider.inspect(first.id)
    assert back is not None
    await answer(prober, back)


@pytest.mark.parametrize(
    ("changes", "error", "text", "code"),
    [
        (
            {"image": "landlord-no-such-image:9", "pull": "never"},
            NotAvailableYet,
            "image landlord-no-such-image:9 .*never",
            404,
        ),
        ({"command": ["no-such-program"]}, InvalidConfig, "'no-such-program' cannot run in image landlord-test-", 400),
        ({"command": ["/no/such/program"]}, InvalidConfig, "'/no/such/program' cannot run", 400),
        ({"network": "landlordless-net"}, NotAvailableYet, "network landlordless-net does not exist", 404),
        ({"resources": {"cpu_millis": 10_000_000}}, InvalidConfig, "landlord-test-web:1.*CPU", 400),
    ],
)
async def test_refusals_name_what_they_are_about(
    provider: DockerCompute,
    installation_id: str,
    web_image: str,
    changes: dict[str, Any],
    error: type[LandlordError],
    text: str,
    code: int,
) -> None:
    with pytest.raises(error, match=text) as refused:
        await provider.apply(desire(installation_id, web(web_image) | changes), OPEN)
    assert refused.value.fields["code"] == code


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ({"error": "toomanyrequests", "errorDetail": {"code": 429, "message": "toomanyrequests"}}, 429),
        ({"error": "unexpected EOF", "errorDetail": {"message": "unexpected EOF"}}, None),
        ({"error": "unexpected EOF"}, None),
    ],
)
async def test_a_pull_that_breaks_off_keeps_the_code_that_the_engine_gave(
    provider: DockerCompute,
    installation_id: str,
    monkeypatch: pytest.MonkeyPatch,
    line: dict[str, Any],
    code: int | None,
) -> None:
    """What a registry must do for it cannot be had here: the engine's words are put into the SDK's mouth."""
    monkeypatch.setattr(docker.APIClient, "pull", lambda *args, **options: iter([{"status": "Pulling"}, line]))
    with pytest.raises(NotAvailableYet, match=f"no-such-image:9 .*{line['error']}") as refused:
        await provider.apply(desire(installation_id, {"image": "landlord-no-such-image:9"}), OPEN)
    assert refused.value.fields["code"] == code


async def test_limits_and_log_bounds_are_the_engines(
    provider: DockerCompute, installation_id: str, web_image: str, docker_engine: docker.DockerClient
) -> None:
    config = web(web_image, resources={"cpu_millis": 250, "memory_mib": 64})
    resource = await provider.apply(desire(installation_id, config), OPEN)
    host = docker_engine.api.inspect_container(resource.id)["HostConfig"]
    assert (host["NanoCpus"], host["Memory"], host["MemorySwap"]) == (250_000_000, 64 << 20, 64 << 20)
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}}
    assert not host["Privileged"]


async def test_limits_hold_for_what_runs_inside(
    provider: DockerCompute, installation_id: str, web_image: str, docker_engine: docker.DockerClient
) -> None:
    limits = {"cpu_millis": 250, "memory_mib": 16}
    resource = await provider.apply(desire(installation_id, web(web_image, resources=limits)), OPEN)

    def inside(*paths: str) -> str:
        """What the first of these files of the container's own control group says."""
        for path in paths:
            exit_code, output = docker_engine.containers.get(resource.id).exec_run(["cat", f"/sys/fs/cgroup/{path}"])
            if exit_code == 0:
                return str(output.decode().strip())
        raise AssertionError(f"none of {paths}")

    assert inside("memory.max", "memory/memory.limit_in_bytes") == str(16 << 20)
    assert inside("cpu.max", "cpu/cpu.cfs_quota_us").split()[0] == "25000"

    greedy = ["dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"]
    resource = await provider.apply(desire(installation_id, web(web_image, resources=limits, command=greedy)), OPEN)
    seen = await stopped(provider, resource)
    assert seen.detail == "the container was killed for its memory limit (exit code 137)"


async def test_what_ended_says_how_and_keeps_its_secrets(
    provider: DockerCompute, installation_id: str, web_image: str
) -> None:
    config = web(web_image, env={"TOKEN": SECRET}, command="sh -c 'echo cannot use $TOKEN; exit 3'")
    resource = await provider.apply(desire(installation_id, config), OPEN)
    seen = await stopped(provider, resource)
    assert seen.detail == "the container exited with code 3: cannot use ***"
    assert await provider.logs(resource.id, 1) == f"cannot use {SECRET}\n"


async def test_long_output_is_read_from_its_end_and_bounded(
    provider: DockerCompute, installation_id: str, web_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = r"for n in $(seq 9); do head -c 99000 /dev/zero | tr '\000' x; echo; done; echo done"
    config = web(web_image, command=["sh", "-c", script])
    resource = await provider.apply(desire(installation_id, config), OPEN)
    await stopped(provider, resource)
    assert len(await provider.logs(resource.id, 10_000)) == 9 * 99_001 + 5
    monkeypatch.setattr(engine, "LOG_BYTES", 150_000)
    assert await provider.logs(resource.id, 10_000) == "x" * 99_000 + "\ndone\n"
    assert await provider.logs(resource.id, 1) == "done\n"
    assert await provider.logs("0" * 64, 1) == ""


async def test_the_images_own_healthcheck_is_the_platforms_verdict(
    provider: DockerCompute,
    installation_id: str,
    prober: HealthProber,
    healthcheck_image: str,
    docker_engine: docker.DockerClient,
) -> None:
    resource = await provider.apply(desire(installation_id, web(healthcheck_image)), OPEN)
    assert (await prober.probe(resource, HealthSpec())).healthy is None
    docker_engine.containers.get(resource.id).exec_run(["touch", "/well"])
    async with asyncio.timeout(15):
        while True:
            seen = await provider.inspect(resource.id)
            assert seen is not None
            if seen.platform_health == "healthy":
                break
            await asyncio.sleep(0.1)
    assert (await prober.probe(seen, HealthSpec())).healthy
    (listed,) = await provider.list_owned(installation_id)
    assert listed.platform_health == "healthy"


async def test_a_command_of_the_spec_is_run_inside_and_is_the_platforms_verdict(
    provider: DockerCompute,
    installation_id: str,
    prober: HealthProber,
    web_image: str,
    docker_engine: docker.DockerClient,
) -> None:
    health = HealthSpec.model_validate({"exec": {"command": ["/bin/test", "-f", "/well"]}, "interval_seconds": 0.2})
    desired = replace(desire(installation_id, web(web_image)), health=health)
    resource = await provider.apply(desired, OPEN)

    async def verdict(wanted: bool) -> None:
        async with asyncio.timeout(10):
            while True:
                seen = await provider.inspect(resource.id)
                assert seen is not None
                if (await prober.probe(seen, health)).healthy is wanted:
                    return
                await asyncio.sleep(0.05)

    await verdict(False)
    docker_engine.containers.get(resource.id).exec_run(["touch", "/well"])
    await verdict(True)
    docker_engine.containers.get(resource.id).exec_run(["rm", "/well"])
    await verdict(False)
    (listed,) = await provider.list_owned(installation_id)
    assert listed.platform_health == "unhealthy"


async def test_a_tcp_probe_sees_through_dockers_proxy(
    provider: DockerCompute, installation_id: str, prober: HealthProber, web_image: str
) -> None:
    deaf = await provider.apply(desire(installation_id, web(web_image, command=["sleep", "60"])), OPEN)
    assert (await prober.probe(deaf, HealthSpec.model_validate({"tcp": {}}))).healthy is False
    listening = await provider.apply(desire(installation_id, web(web_image)), OPEN)
    assert "accepted a connection" in await answer(prober, listening, tcp={})


async def test_volumes_and_the_tenants_network_stay_until_it_is_forgotten(
    provider: DockerCompute, installation_id: str, web_image: str, docker_engine: docker.DockerClient
) -> None:
    def named(desired: DesiredResource) -> tuple[list[str], list[str]]:
        labels = {"label": f"landlord.tenant-id={desired.origin.tenant_id}"}
        volumes = docker_engine.api.volumes(filters=labels)["Volumes"] or []
        return [v["Name"] for v in volumes], [n["Name"] for n in docker_engine.api.networks(filters=labels)]

    first = desire(installation_id, web(web_image, volumes=["data:/data"], network="tenant"))
    assert provider.exclusive(first.config, first.config)
    applied = await asyncio.gather(*(provider.apply(first, OPEN) for _ in range(10)))
    docker_engine.containers.get(applied[0].id).exec_run(["touch", "/data/kept"])
    before = named(first)
    assert before[0] == [f"landlord-conform-{first.origin.tenant_id.hex[-8:]}-data"]
    assert len(before[1]) == 1
    await provider.destroy(applied[0].id)
    assert named(first) == before
    second = await provider.apply(
        desire(installation_id, first.config, tenant_id=first.origin.tenant_id, generation=2), OPEN
    )
    assert docker_engine.containers.get(second.id).exec_run(["ls", "/data"]).output == b"kept\n"
    await provider.destroy(second.id)
    await provider.forget(installation_id, first.origin.tenant_id)
    assert named(first) == ([], [])
    await provider.forget(installation_id, first.origin.tenant_id)


async def test_an_engine_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    provider = DockerCompute()
    with pytest.raises(Unavailable, match="Docker Engine does not answer"):
        await provider.list_owned("test-nobody")
    health = await provider.health()
    assert (health.healthy, "does not answer" in health.detail) == (False, True)
    await provider.close()
