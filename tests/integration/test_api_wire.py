"""What reaches a replica byte by byte, as no client library sends it."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.integration.api_replica import ADMIN, Api, api_on, served
from tests.odd_requests import failures, odd_requests, statuses


@pytest_asyncio.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with api_on(database_url) as api:
        yield api


async def test_no_odd_request_is_an_error_of_ours_or_leaves_anything(api: Api) -> None:
    async with served(api) as client:
        host, port = client.base_url.host, client.base_url.port
        assert port is not None
        assert await failures(host, port, odd_requests(ADMIN)) == []
        good = f"GET /v1/tenants HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {ADMIN}\r\nConnection: close\r\n\r\n"
        assert await statuses(host, port, good.encode()) == [200], "and the replica goes on"
    assert await api.count("tenants") == await api.count("events") == await api.count("idempotency_keys") == 0
