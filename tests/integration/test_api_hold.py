"""No request holds a replica's loop: bodies as costly as clients can make them, over real HTTP, with a heartbeat."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import islice

import httpx
import pytest
import pytest_asyncio

from tests.bodies import KINDS, Request, requests
from tests.integration.api_replica import ADMIN

LONGEST = 0.1
"""Seconds for which one request may hold the loop."""
AGAIN = 4
"""A request during which the loop was held is sent so often again: once it was something else (a garbage collection,
the machine), the request itself does it each time."""


@pytest_asyncio.fixture
async def client(database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    replica = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.beating_replica",
        database_url,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert replica.stdout is not None
    try:
        url = (await replica.stdout.readline()).decode().strip()
        assert url, "it has ended; its own words are above"
        headers = {"Authorization": f"Bearer {ADMIN}", "Content-Type": "application/json"}
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60, trust_env=False) as client:
            yield client
    finally:
        if replica.returncode is None:
            replica.kill()
        await replica.wait()


async def held(client: httpx.AsyncClient) -> float:
    """Seconds for which the loop was held at most since the last time."""
    return float((await client.get("/beat")).json()["held"])


async def send(client: httpx.AsyncClient, request: Request) -> int:
    answer = await client.request(request.method, request.path, content=request.body)
    assert answer.status_code != 500, f"{request}: {answer.text[:300]}"
    return answer.status_code


async def offenders(
    client: httpx.AsyncClient, sent: Iterable[Request], *, batch: int
) -> tuple[list[str], Counter[int]]:
    """The requests that hold the loop too long, and how often each status was answered."""
    found: list[str] = []
    statuses: Counter[int] = Counter()
    for some in _batches(sent, batch):
        await held(client)
        statuses.update(await asyncio.gather(*(send(client, request) for request in some)))
        if await held(client) < LONGEST:
            continue
        for request in some:
            least = min([await _alone(client, request) for _ in range(AGAIN)])
            if least >= LONGEST:
                found.append(f"{least:.3f} s: {request}")
    return found, statuses


async def _alone(client: httpx.AsyncClient, request: Request) -> float:
    await held(client)
    await send(client, request)
    return await held(client)


def _batches(sent: Iterable[Request], size: int) -> Iterator[list[Request]]:
    rest = iter(sent)
    while batch := list(islice(rest, size)):
        yield batch


async def test_the_heartbeat_sees_a_hold(client: httpx.AsyncClient) -> None:
    await held(client)
    assert (await client.get("/hold")).status_code == 200
    assert await held(client) >= LONGEST


async def test_no_request_holds_the_loop(client: httpx.AsyncClient) -> None:
    found, statuses = await offenders(client, requests(seed=1, count=5 * len(KINDS)), batch=4)
    assert not found, "\n".join(found)
    assert statuses[400] > statuses[200] > 20
    assert statuses[202] >= 3


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", [2, 3, 4, 5])
async def test_none_of_twenty_thousand_requests_holds_the_loop(client: httpx.AsyncClient, seed: int) -> None:
    found, statuses = await offenders(client, requests(seed=seed, count=5_000), batch=8)
    assert not found, "\n".join(found)
    assert statuses.total() >= 5_000
