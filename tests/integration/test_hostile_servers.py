"""Tenants' own servers that mean harm, on loopback: what they answer stays theirs, and costs what its bound says."""

import asyncio
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

import pytest
import pytest_asyncio

from controlplane.model import Endpoint, HealthSpec
from controlplane.ports import Origin, ProbeResult, Resource, ResourceState
from controlplane.steps.probe import HealthProber
from controlplane.steps.stranger import MOST_BYTES

TIMEOUT = 2.0

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Remembers what it was asked, and answers as it likes."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.asked: list[str] = []
        self.port = 0
        self.ended = 0
        """Connections that the other side has left."""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
            await self._answer(writer)
            await reader.read()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.ended += 1
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[Server]:
    server = Server(answer)
    listener = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    yield server
    listener.close()


@pytest_asyncio.fixture
async def prober() -> AsyncIterator[HealthProber]:
    prober = HealthProber()
    yield prober
    await prober.close()


async def probe(prober: HealthProber, server: Server) -> ProbeResult:
    origin = Origin("test", "acme", uuid4(), 1, 1, "tenant-acme-provision-1-00000000", "0" * 16)
    endpoint = Endpoint("http", f"http://127.0.0.1:{server.port}", 8080)
    resource = Resource("id", "landlord-acme", origin, ResourceState.RUNNING, endpoints=(endpoint,))
    return await prober.probe(resource, HealthSpec.model_validate({"http": {}, "timeout_seconds": TIMEOUT}))


def saying(text: bytes) -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        await writer.drain()

    return answer


def repeating(first: bytes, again: bytes, pause: float = 0.0) -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while True:
            writer.write(again)
            await writer.drain()
            await asyncio.sleep(pause)

    return answer


async def test_no_cookie_of_one_tenant_reaches_another_or_comes_back(prober: HealthProber) -> None:
    cookies = b"Set-Cookie: mine=1; Path=/\r\nSet-Cookie: all=1; Domain=127.0.0.1; Max-Age=9999\r\n"
    harmful = saying(b"HTTP/1.1 200 OK\r\n" + cookies + b"Content-Length: 0\r\n\r\n")
    async with serving(harmful) as one, serving(harmful) as other:
        for server in (one, other, one):
            assert (await probe(prober, server)).healthy is True
        asked = one.asked + other.asked
    assert len(asked) == 3
    assert not [text for text in asked if "cookie" in text.lower()]


async def test_nobody_is_sent_elsewhere_and_no_connection_is_kept(prober: HealthProber) -> None:
    async with serving(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as other:
        location = f"Location: http://127.0.0.1:{other.port}/\r\nRefresh: 0; url=http://127.0.0.1:{other.port}/\r\n"
        away = f"HTTP/1.1 302 Found\r\n{location}Connection: keep-alive\r\nContent-Length: 0\r\n\r\n".encode()
        async with serving(saying(away)) as one:
            for _ in range(3):
                assert (await probe(prober, one)).healthy is True
            async with asyncio.timeout(20):
                while one.ended < 3:  # noqa: ASYNC110, the other side's end is no event here
                    await asyncio.sleep(0.01)
        assert other.asked == []


@pytest.mark.parametrize(
    ("answer", "healthy"),
    [
        pytest.param(repeating(b"HTTP/1.1 200 OK\r\n", b"X-More: " + b"x" * 1000 + b"\r\n"), False, id="headers"),
        pytest.param(repeating(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 1000), False, id="one header"),
        pytest.param(repeating(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000), False, id="interim answers"),
        pytest.param(repeating(b"", b"x" * 4096), False, id="no HTTP"),
        pytest.param(repeating(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536), True, id="body"),
        pytest.param(repeating(b"HTTP/1.1 200 OK\r\nX: ", b"x", pause=0.05), False, id="slow drip"),
        pytest.param(saying(b""), False, id="silence"),
    ],
)
async def test_whatever_it_sends_a_probe_ends_in_its_time_and_keeps_nothing(
    prober: HealthProber, answer: Answer, healthy: bool
) -> None:
    async with serving(answer) as server:
        tracemalloc.start()
        begun = time.monotonic()
        result = await probe(prober, server)
        took, (_, peak) = time.monotonic() - begun, tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert result.healthy is healthy, result
    assert took < TIMEOUT + 5
    assert peak < 64 * MOST_BYTES
    assert len(result.detail) < 500


async def test_a_flood_of_interim_answers_is_left_at_once(prober: HealthProber) -> None:
    async with serving(repeating(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)) as server:
        result = await probe(prober, server)
    assert (result.healthy, f"sent {MOST_BYTES} bytes and no answer" in result.detail) == (False, True), result
