"""Ten thousand bodies that are no good, over HTTP: each refused, nothing stored, and the memory as it was."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import psutil
import pytest
import pytest_asyncio

from controlplane.api.middleware.body_limit import MAX_BODY
from tests.integration.api_replica import ADMIN, Api, api_on, served, tenant

COUNT = 10_000
CONNECTIONS = 8
MIB = 1024 * 1024


def hostile() -> list[bytes]:
    """Depth, size, Unicode, numbers, NUL, repeats, what is no JSON and what is no tenant."""
    good = json.dumps(tenant()).encode()
    bodies = [
        b"",
        b"{",
        b"[" * 10_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        b'{"name":' + b"[" * 40 + b"]" * 40 + b"}",
        b'{"name":' + b"9" * 5_000 + b"}",
        b'{"name":-1e999}',
        b'{"name":NaN}',
        b'{"name":"\\u0000"}',
        b'{"name":"\x00"}',
        b'{"name":"\\ud800"}',
        b'{"name":"\xff\xfe"}',
        b'{"name":"' + "𝕏".encode() * 5_000 + b'"}',
        b'{"name":"a","name":"b"}',
        b"\xef\xbb\xbf" + good,
        good[:-1],
        good + good,
        good.replace(b'"name"', b'"n\\u0061me\\u0000"'),
        good.replace(b'"acme"', b"1e400"),
        good.replace(b'"web:1"', b'{"$ref":"#"}'),
        json.dumps(tenant(labels={f"l{n}": "x" for n in range(1_000)})).encode(),
        json.dumps(tenant(spec={"compute": {"provider": "cloud", "config": {"image": [None] * 1_000}}})).encode(),
    ]
    assert all(len(body) <= MAX_BODY for body in bodies)
    return bodies


@pytest_asyncio.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with api_on(database_url) as api:
        yield api


@pytest.mark.timeout(600)
async def test_hostile_bodies_leave_nothing_behind(api: Api) -> None:
    bodies = hostile()
    async with served(api) as client:
        host, port = client.base_url.host, client.base_url.port
        assert port is not None

        async def send(count: int) -> None:
            turns = iter(range(count))
            await asyncio.gather(*(_connection(host, port, bodies, turns) for _ in range(CONNECTIONS)))

        # What is made once (pools, caches, compiled patterns) is there after the first thousand.
        await send(COUNT // 10)
        before = psutil.Process().memory_info().rss
        await send(COUNT - COUNT // 10)
        grown = psutil.Process().memory_info().rss - before
        large = await client.post("/v1/tenants", content=b"[" * (MAX_BODY + 1))
        assert large.status_code == 413
        assert (await client.get("/v1/tenants")).json()["items"] == []
    assert grown < 16 * MIB
    assert await api.count("tenants") == await api.count("events") == 0


async def _connection(host: str, port: int, bodies: list[bytes], turns: Iterator[int]) -> None:
    """One after the other on one connection; as plain as can be, for the client is no part of what is measured."""
    reader, writer = await asyncio.open_connection(host, port)
    for turn in turns:
        body = bodies[turn % len(bodies)]
        method = b"PATCH /v1/tenants/none" if turn % 3 == 0 else b"POST /v1/tenants"
        writer.write(
            method
            + b" HTTP/1.1\r\nHost: landlord\r\nContent-Type: application/json\r\nAuthorization: Bearer "
            + ADMIN.encode()
            + b"\r\nContent-Length: "
            + str(len(body)).encode()
            + b"\r\n\r\n"
            + body
        )
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        problem = json.loads(await reader.readexactly(length))
        assert 400 <= status < 500, (body[:80], problem)
        assert problem["code"] in ("validation_failed", "tenant_not_found"), (body[:80], problem)
    writer.close()
    await writer.wait_closed()
