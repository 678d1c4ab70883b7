"""What a probe asks, and what it makes of the answer. HTTP through httpx's own fake transport; TCP on loopback."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest

from controlplane.model import Endpoint, HealthSpec
from controlplane.ports import Origin, ProbeResult, Resource, ResourceState
from controlplane.steps.probe import HealthProber

BASE = "http://127.0.0.1:32768"
ENDPOINTS = (Endpoint("http", BASE, 8080), Endpoint("port-9090", "http://127.0.0.1:32769", 9090))


def resource(state: ResourceState = ResourceState.RUNNING, **changes: Any) -> Resource:
    origin = Origin("test", "acme", uuid4(), 1, 1, "tenant-acme-provision-1-00000000", "0" * 16)
    return Resource("id", "landlord-acme", origin, state, **{"endpoints": ENDPOINTS[:1], **changes})


@asynccontextmanager
async def answering(
    answer: Callable[[httpx.Request], httpx.Response] | None = None,
) -> AsyncIterator[HealthProber]:
    prober = HealthProber(None if answer is None else httpx.MockTransport(answer))
    yield prober
    await prober.close()


async def probe(answer: Callable[[httpx.Request], httpx.Response], probed: Resource, **health: Any) -> ProbeResult:
    async with answering(answer) as prober:
        return await prober.probe(probed, HealthSpec.model_validate(health or {"http": {}}))


@pytest.mark.parametrize(
    ("status", "healthy"),
    [(200, True), (204, True), (302, True), (399, True), (400, False), (404, False), (500, False)],
)
async def test_200_to_399_is_healthy_and_redirects_are_not_followed(status: int, healthy: bool) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(status, headers={"Location": "http://elsewhere.invalid/"})

    result = await probe(answer, resource(), http={"path": "/live?deep=1"})
    assert result == ProbeResult(healthy, f"GET {BASE}/live?deep=1 answered {status}")
    assert asked == [f"{BASE}/live?deep=1"]


async def test_the_endpoint_is_that_of_the_port() -> None:
    result = await probe(lambda request: httpx.Response(200), resource(endpoints=ENDPOINTS), http={"port": 9090})
    assert result.detail == "GET http://127.0.0.1:32769/ answered 200"


@pytest.mark.parametrize("number", [53, 8080], ids=["of another number", "of the same number"])
@pytest.mark.parametrize("port", [None, 8080])
async def test_an_endpoint_for_udp_is_never_asked(number: int, port: int | None) -> None:
    udp = Endpoint("port-udp", "udp://127.0.0.1:32770", number)
    for endpoints in ((udp, ENDPOINTS[0]), (ENDPOINTS[0], udp)):
        result = await probe(lambda request: httpx.Response(200), resource(endpoints=endpoints), http={"port": port})
        assert result == ProbeResult(True, f"GET {BASE}/ answered 200")


async def test_a_single_endpoint_stands_for_any_port() -> None:
    """A process's port is chosen for it, whatever number the spec calls it by."""
    result = await probe(lambda request: httpx.Response(200), resource(), http={"port": 1234})
    assert result.healthy


@pytest.mark.parametrize(("endpoints", "port"), [((), None), ((), 8080), (ENDPOINTS, 7070)])
async def test_a_port_that_is_not_published_is_unhealthy(endpoints: tuple[Endpoint, ...], port: int | None) -> None:
    result = await probe(lambda request: httpx.Response(200), resource(endpoints=endpoints), http={"port": port})
    assert result.healthy is False
    assert "publishes no" in result.detail


async def test_what_does_not_run_is_unhealthy_by_its_own_words() -> None:
    down = resource(ResourceState.STOPPED, detail="the container exited with code 3")
    result = await probe(lambda request: httpx.Response(200), down)
    assert result == ProbeResult(False, "the container exited with code 3")


async def test_what_is_starting_cannot_be_told_yet() -> None:
    assert (await probe(lambda request: httpx.Response(200), resource(ResourceState.STARTING))).healthy is None


@pytest.mark.parametrize(
    ("verdict", "healthy"),
    [(None, True), ("healthy", True), ("unhealthy", False), ("starting", None), ("recovering", False)],
)
async def test_without_a_probe_the_platform_decides(verdict: Any, healthy: bool | None) -> None:
    result = await probe(lambda request: httpx.Response(500), resource(platform_health=verdict), interval_seconds=1)
    assert (result.healthy, result.recovering) == (healthy, verdict == "recovering")


async def test_refused_names_host_and_port() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{bound.getsockname()[1]}"
        refused = resource(endpoints=(Endpoint("http", f"http://{where}", 8080),))
        async with answering() as prober:
            http = await prober.probe(refused, HealthSpec.model_validate({"http": {}}))
            tcp = await prober.probe(refused, HealthSpec.model_validate({"tcp": {}}))
    assert http == ProbeResult(False, f"GET http://{where}/: connection refused by {where}")
    assert tcp == ProbeResult(False, f"no connection to {where}: connection refused by {where}")


async def test_no_answer_in_time() -> None:
    async def never(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    prober = HealthProber(httpx.MockTransport(never))
    result = await prober.probe(resource(), HealthSpec.model_validate({"http": {}, "timeout_seconds": 0.01}))
    assert result == ProbeResult(False, f"GET {BASE}/ had no answer within 0.01 s")
    await prober.close()


async def test_an_error_below_is_told_by_its_own_words() -> None:
    def unreachable(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("All connection attempts failed") from OSError(errno.EHOSTUNREACH, "No route to host")

    assert (await probe(unreachable, resource())).detail == f"GET {BASE}/: No route to host"


async def test_the_environments_proxy_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    where = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, answering() as prober:
        probed = resource(endpoints=(Endpoint("http", where, 8080),))
        assert (await prober.probe(probed, HealthSpec.model_validate({"http": {}}))).healthy


@pytest.mark.parametrize(
    ("closes", "healthy", "text"), [(False, True, "accepted a connection"), (True, False, "closed it at once")]
)
async def test_tcp_is_healthy_where_the_connection_is_kept(closes: bool, healthy: bool, text: str) -> None:
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not closes:
            await done.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    where = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, answering() as prober:
        probed = resource(endpoints=(Endpoint("tcp", f"http://{where}", 8080),))
        result = await prober.probe(probed, HealthSpec.model_validate({"tcp": {}}))
        done.set()
    assert (result.healthy, result.detail.startswith(where), text in result.detail) == (healthy, True, True)
