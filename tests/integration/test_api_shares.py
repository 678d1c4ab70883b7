"""What one token can take of a replica, and how large an answer or the trail can be made."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from unittest.mock import patch

import httpx
import pytest_asyncio
from sqlalchemy import text

from controlplane.api import trail_rows
from controlplane.api.replica import CATCHING_UP, WAITERS, WAITERS_OF_ONE_TOKEN, WATCHERS, WATCHERS_OF_ONE_TOKEN
from controlplane.persistence import events
from controlplane.persistence.event_data import MOST
from controlplane.persistence.pages import PAGE_BYTES
from tests.integration.api_replica import Api, api_on, served, tenant, until


@pytest_asyncio.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with api_on(database_url) as api:
        yield api


@pytest_asyncio.fixture
async def client(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    async with served(api) as client:
        yield client


def large(name: str, size: int = 200_000) -> dict[str, Any]:
    env = {f"A{i}": "x" * 50_000 for i in range(size // 50_000)}
    return tenant(name, spec={"compute": {"provider": "cloud", "config": {"image": "web:1", "env": env}}})


async def test_one_viewer_does_not_take_all_places_of_watchers(api: Api, client: httpx.AsyncClient) -> None:
    viewer = await api.bearer("viewer")
    async with AsyncExitStack() as watching, client.stream("GET", "/v1/watch", headers=viewer) as first:
        assert first.status_code == 200
        await anext(first.aiter_lines())
        (key,) = api.replica.watchers._running
        for _ in range(WATCHERS_OF_ONE_TOKEN - 1):
            await watching.enter_async_context(api.replica.watchers.take(key))
        refused = await client.get("/v1/watch", headers=viewer)
        assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
        assert "the-viewer" in refused.json()["detail"]
        async with client.stream("GET", "/v1/watch") as admins:
            assert admins.status_code == 200
    assert WATCHERS_OF_ONE_TOKEN < WATCHERS

    async def given_back() -> bool:
        return not api.replica.watchers._running

    await until(given_back)


async def test_one_token_does_not_take_all_places_of_waiters(api: Api) -> None:
    await api.create()
    operator = await api.bearer("operator")
    wait = {"Prefer": "wait=60"}
    redeploy = "/v1/tenants/acme/redeploy"
    first = asyncio.create_task(api.client.post(redeploy, headers=operator | wait))
    await api.woken(2)

    async def waits() -> bool:
        return bool(api.replica.waiters._running)

    await until(waits)
    (key,) = api.replica.waiters._running
    async with AsyncExitStack() as waiting:
        for _ in range(WAITERS_OF_ONE_TOKEN - 1):
            await waiting.enter_async_context(api.replica.waiters.take(key))
        second = await asyncio.wait_for(api.client.post(redeploy, headers=operator | wait), 20)
        assert second.status_code == 202
        admins = asyncio.create_task(api.client.post(redeploy, headers=wait))
        await api.woken(4)
        await api.end("acme")
        assert (await asyncio.wait_for(admins, 20)).status_code == 200
        assert (await asyncio.wait_for(first, 20)).status_code == 200
    assert WAITERS_OF_ONE_TOKEN < WAITERS


async def test_whoever_asks_for_the_whole_trail_waits_for_a_turn(api: Api, client: httpx.AsyncClient) -> None:
    await api.create()
    reading, most = 0, 0
    read = trail_rows.after

    async def counted(*values: Any, **named: Any) -> Any:
        nonlocal reading, most
        reading += 1
        most = max(most, reading)
        await asyncio.sleep(0.05)
        try:
            return await read(*values, **named)
        finally:
            reading -= 1

    async def watches() -> None:
        async with client.stream("GET", "/v1/watch", headers={"Last-Event-ID": "0"}) as answer:
            async for line in answer.aiter_lines():
                if "tenant.created" in line:
                    return

    with patch.object(trail_rows, "after", counted):
        await asyncio.gather(*(watches() for _ in range(20)))
    assert most == CATCHING_UP


async def test_a_watch_reads_no_data(api: Api) -> None:
    await api.bearer("viewer")
    async with api.database.begin() as connection:
        await connection.execute(
            text("INSERT INTO events (type, data) VALUES ('tenant.updated', jsonb_build_object('a', repeat('x', 100)))")
        )
        found = {event.type: event.data for event in await events.after(connection, 0, limit=50)}
    assert found["tenant.updated"] == {}
    (told,) = [event.data for event in await events.page(api.database, limit=50) if event.type == "tenant.updated"]
    assert told == {"a": "x" * 100}


async def test_a_page_ends_after_so_many_bytes(api: Api) -> None:
    names = [f"t{number:02}" for number in range(12)]
    for name in names:
        assert (await api.client.post("/v1/tenants", json=large(name))).status_code == 202
    assert await pages(api, "/v1/tenants", "name") == names


async def test_a_page_of_events_ends_after_so_many_bytes(api: Api) -> None:
    async with api.database.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO events (type, message, data) SELECT 'test', number::text, "
                "jsonb_build_object('a', (SELECT string_agg(md5(part::text), '') FROM generate_series(1, 8000) part)) "
                "FROM generate_series(1, 12) number"
            )
        )
    told = await pages(api, "/v1/events", "message")
    assert [one for one in told if one] == [str(number) for number in range(12, 0, -1)]


async def pages(api: Api, path: str, member: str) -> list[str]:
    """That member of all items, page by page; more than one page, and none of them too large."""
    found: list[str] = []
    count, cursor = 0, ""
    while True:
        answer = await api.client.get(f"{path}?limit=500{cursor}")
        assert len(answer.content) < PAGE_BYTES + 300_000
        page = answer.json()
        assert page["items"]
        found += [item[member] for item in page["items"]]
        count += 1
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert count > 2
    return found


async def test_one_row_larger_than_a_page_is_a_page(api: Api) -> None:
    await api.create("small")
    await api.create("large")
    async with api.database.begin() as connection:
        large = "jsonb_build_object('a', repeat('x', 2000000))"
        await connection.execute(text(f"UPDATE tenants SET annotations = {large} WHERE name = 'large'"))
    first = (await api.client.get("/v1/tenants")).json()
    assert [item["name"] for item in first["items"]] == ["large"]
    second = (await api.client.get(f"/v1/tenants?cursor={first['next_cursor']}")).json()
    assert [item["name"] for item in second["items"]] == ["small"]
    assert second["next_cursor"] is None


async def test_an_event_is_bounded(api: Api) -> None:
    await api.create()
    env = {f"A{i}": "x" * 50_000 for i in range(4)}
    answer = await api.client.patch("/v1/tenants/acme", json={"spec": {"compute": {"config": {"env": env}}}})
    assert answer.status_code == 202
    newest = next(e for e in await events.page(api.database, limit=5) if e.type == "tenant.updated")
    assert newest.data["shortened"] is True
    assert newest.data["from_generation"] == 1
    assert [change["path"] for change in newest.data["changes"]] == ["spec.compute.config.env"]
    async with api.database.connect() as connection:
        longest = (await connection.execute(text("SELECT max(octet_length(data::text)) FROM events"))).scalar_one()
    assert longest <= MOST


async def test_reconciling_again_and_again_is_one_event(api: Api) -> None:
    await api.create()
    for _ in range(5):
        assert (await api.client.post("/v1/tenants/acme/reconcile")).status_code == 202
    await api.woken(6)
    assert len(api.directory.woken) == 6
    assert await reconciled(api) == 1
    await api.client.patch("/v1/tenants/acme", json={"labels": {"tier": "gold"}})
    await api.client.post("/v1/tenants/acme/reconcile")
    assert await reconciled(api) == 2
    async with api.database.begin() as connection:
        await connection.execute(text("UPDATE events SET at = at - interval '11 seconds'"))
    await api.client.post("/v1/tenants/acme/reconcile")
    assert await reconciled(api) == 3


async def reconciled(api: Api) -> int:
    return await api.count("events WHERE type = 'tenant.reconcile_requested'")
