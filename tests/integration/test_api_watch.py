"""The audit trail, and Server-Sent Events from it, over real HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import text

from controlplane.api import feed, grants, trail_rows, watch
from controlplane.api.replica import WATCHERS
from controlplane.model import Status
from controlplane.persistence import events
from tests.integration.api_replica import Api, api_on, served, tenant, until


@pytest_asyncio.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with api_on(database_url) as api:
        yield api


@pytest_asyncio.fixture
async def client(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    async with served(api) as client:
        yield client


async def stream(client: httpx.AsyncClient, path: str, last: int | None = None) -> AsyncIterator[dict[str, Any]]:
    """Events as a client reads them; the first value is None: the stream is open."""
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    async with client.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        id = None
        async for line in answer.aiter_lines():
            if line.startswith(":"):
                yield {}
            elif line.startswith("id: "):
                id = int(line[4:])
            elif line.startswith("data: "):
                data = json.loads(line[6:])
                assert data["id"] == id
                yield data


async def test_the_trail_says_who_what_and_why(api: Api) -> None:
    await api.create()
    await api.client.patch("/v1/tenants/acme", json={"spec": {"compute": {"config": {"env": {"COLOR": "green"}}}}})
    other = await api.bearer("operator")
    await api.client.delete("/v1/tenants/acme", headers=other)

    items = (await api.client.get("/v1/tenants/acme/events")).json()["items"]

    told = [(item["type"], item["actor"], item["trigger_source"]) for item in items]
    assert ("tenant.deletion_requested", "the-operator", "api") in told
    assert told[-1] == ("tenant.created", "admin", "api")
    [update] = [item for item in items if item["type"] == "tenant.updated"]
    assert update["data"]["changes"] == [
        {"path": "spec.compute.config.env", "before": {"COLOR": "blue"}, "after": {"COLOR": "green"}}
    ]
    assert update["execution_id"].startswith("tenant-acme-provision-2-")
    ids = [item["id"] for item in items]
    assert ids == sorted(ids, reverse=True)
    pages, cursor = [], ""
    while cursor is not None:
        page = (await api.client.get(f"/v1/events?limit=2{cursor and '&cursor=' + cursor}")).json()
        pages += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert pages == ids


async def test_a_watch_starts_at_now_and_tells_every_change(api: Api, client: httpx.AsyncClient) -> None:
    await api.create("before")
    async with aclosing(stream(client, "/v1/watch")) as found:
        assert await anext(found) == {}
        await api.create()
        await api.end("acme")
        first, second = await anext(found), await anext(found)
    assert (first["type"], first["tenant"], first["status"]) == ("tenant.created", "acme", "requested")
    assert set(first) == {"id", "type", "tenant", "generation", "status", "execution_id", "at"}
    assert (second["status"], second["id"] > first["id"]) == ("ready", True)


async def test_a_tenants_watch_tells_of_it_only_and_ends_with_it(api: Api, client: httpx.AsyncClient) -> None:
    await api.create()
    await api.create("other")
    seen = []
    async with aclosing(stream(client, "/v1/tenants/acme/watch")) as found:
        assert await anext(found) == {}
        await api.client.patch("/v1/tenants/other", json={"labels": {"a": "b"}})
        await api.client.delete("/v1/tenants/acme")
        await api.end("acme", status=Status.DELETED)
        seen = [event async for event in found if event]
    assert {event["tenant"] for event in seen} == {"acme"}
    assert seen[-1]["status"] == "deleted"
    # Cut off before the end, a client may still fetch it; after it there is nothing.
    rest = [event async for event in stream(client, "/v1/tenants/acme/watch", seen[0]["id"]) if event]
    assert rest == seen[1:]
    gone = await client.get("/v1/tenants/acme/watch", headers={"Last-Event-ID": str(seen[-1]["id"])})
    assert (gone.status_code, gone.json()["code"]) == (410, "tenant_deleted")
    assert (await client.get("/v1/tenants/acme/watch")).status_code == 410


async def test_cut_off_and_resumed_each_change_is_seen_once_and_in_order(
    api: Api, client: httpx.AsyncClient, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time at the other replica."""
    monkeypatch.setattr(watch, "PAGE", 3)
    await api.create()
    last = (await api.client.get("/v1/events?limit=1")).json()["items"][0]["id"]

    async def change() -> None:
        for number in range(0, 200, 4):
            labels = ({"n": str(number + offset)} for offset in range(4))
            await asyncio.gather(*(api.client.patch("/v1/tenants/acme", json={"labels": value}) for value in labels))

    seen: list[int] = []
    async with api_on(database_url) as other, served(other) as elsewhere:
        changing = asyncio.create_task(change())
        for cut in range(21):
            replica = elsewhere if cut % 2 else client
            async with aclosing(stream(replica, "/v1/tenants/acme/watch", seen[-1] if seen else last)) as found:
                async for event in found:
                    if event:
                        seen.append(event["id"])
                    if len(seen) >= min(200, (cut + 1) * 10):
                        break
        await changing
    async with api.database.connect() as connection:
        rows = await connection.execute(text("SELECT id FROM events WHERE id > :last ORDER BY id"), {"last": last})
        assert seen == [row.id for row in rows]
    assert len(seen) == 200


async def test_watchers_hear_what_another_replica_commits(
    api: Api, client: httpx.AsyncClient, database_url: str
) -> None:
    async with api_on(database_url) as other, aclosing(stream(client, "/v1/watch")) as found:
        assert await anext(found) == {}
        await other.create()
        assert (await asyncio.wait_for(anext(found), 5))["tenant"] == "acme"


async def test_heartbeats(api: Api, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert watch.HEARTBEAT_SECONDS <= 15
    monkeypatch.setattr(watch, "HEARTBEAT_SECONDS", 0.05)
    async with aclosing(stream(client, "/v1/watch")) as found:
        assert [await anext(found) for _ in range(3)] == [{}, {}, {}]


async def test_ids_that_are_not_kept_or_never_were(api: Api, client: httpx.AsyncClient) -> None:
    for number in range(3):
        await api.create(f"t-{number}")
    ids = [item["id"] for item in (await client.get("/v1/events")).json()["items"]]
    assert await events.prune(api.database, older_than_seconds=3600) == 0
    async with api.database.begin() as connection:
        await connection.execute(
            text("UPDATE events SET at = at - interval '2 hours' WHERE id <= :middle"), {"middle": ids[1]}
        )
    assert await events.prune(api.database, older_than_seconds=3600) == 2
    for last, status in ((ids[2], 410), (ids[1] - 1, 410), (ids[0] + 1, 410), ("x", 400), ("-1", 400), ("9" * 30, 400)):
        answer = await client.get("/v1/watch", headers={"Last-Event-ID": str(last)})
        assert answer.status_code == status, (last, answer.text)
        assert status == 400 or answer.json()["code"] == "events_expired"
    async with aclosing(stream(client, "/v1/watch", ids[1])) as found:
        assert [(await anext(found)).get("id") for _ in range(2)] == [None, ids[0]]


async def test_a_slow_consumer_is_dropped_and_resumes(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "BACKLOG", 3)
    await api.create()
    with api.replica.feed.subscribe() as slow:
        for number in range(6):
            await api.client.patch("/v1/tenants/acme", json={"labels": {"n": str(number)}})

        async def dropped() -> bool:
            return slow.dropped

        await until(dropped)
        assert await slow.next(1) is None


async def test_the_feed_survives_the_loss_of_its_connections(api: Api, client: httpx.AsyncClient) -> None:
    async with aclosing(stream(client, "/v1/watch")) as found:
        assert await anext(found) == {}
        async with api.database.begin() as connection:
            await connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND application_name = 'landlord api'"
                )
            )
            await connection.execute(text("INSERT INTO events (type, tenant_name) VALUES ('test.event', 'acme')"))
        assert (await asyncio.wait_for(anext(found), 10))["type"] == "test.event"


async def test_too_many_watchers(api: Api, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    api.replica.watchers._running["others"] = WATCHERS
    answer = await client.get("/v1/watch")
    assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")


async def test_five_hundred_watchers(api: Api, client: httpx.AsyncClient, database_url: str) -> None:
    """On one replica, each on a connection of its own; of what this replica commits, and of what another does."""

    async def one(number: int) -> list[dict[str, Any]]:
        path = "/v1/watch" if number % 2 else "/v1/tenants/acme/watch"
        async with aclosing(stream(many, path)) as found:
            async with opening:
                assert await anext(found) == {}
            ready.release()
            seen: list[dict[str, Any]] = []
            async for event in found:
                seen += [event] if event else []
                if len(seen) == 2:
                    return seen
        raise AssertionError("the stream ended")

    await api.create()
    # All at once, they would be opened in a moment or refused, by how fast the machine is.
    opening, ready = asyncio.Semaphore(20), asyncio.Semaphore(0)
    headers, limits = client.headers, httpx.Limits(max_connections=None)
    async with (
        api_on(database_url) as other,
        httpx.AsyncClient(
            base_url=client.base_url, headers=headers, limits=limits, timeout=60, trust_env=False
        ) as many,
        asyncio.timeout(120),
        asyncio.TaskGroup() as tasks,
    ):
        watching = [tasks.create_task(one(number)) for number in range(500)]
        for _ in watching:
            await ready.acquire()
        assert await api.count("pg_stat_activity WHERE application_name = 'landlord api'") < 30
        for replica, colour in ((api, "green"), (other, "red")):
            await replica.client.patch("/v1/tenants/acme", json={"labels": {"colour": colour}})
    seen = [watcher.result() for watcher in watching]
    assert all(events == seen[0] for events in seen)
    assert [event["type"] for event in seen[0]] == ["tenant.metadata_changed"] * 2


async def raw(client: httpx.AsyncClient, path: str, headers: dict[str, str]) -> AsyncIterator[str]:
    async with client.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200
        async for line in answer.aiter_lines():
            yield line


async def told(found: AsyncIterator[str], seconds: float = 10) -> list[str]:
    """Types of the events that a stream tells until it ends."""
    async with asyncio.timeout(seconds):
        return [json.loads(line[6:])["type"] async for line in found if line.startswith("data: ")]


async def test_a_stream_names_its_position_before_anything_happens(api: Api, client: httpx.AsyncClient) -> None:
    """An EventSource that is cut off in a quiet minute resumes there, and misses nothing."""
    await api.create("before")
    newest = (await client.get("/v1/events?limit=1")).json()["items"][0]["id"]
    async with aclosing(raw(client, "/v1/watch", {})) as found:
        assert [await anext(found) for _ in range(3)] == [": heartbeat", f"id: {newest}", ""]
    await api.create("meanwhile")
    async with aclosing(stream(client, "/v1/watch", newest)) as resumed:
        assert [await anext(resumed) for _ in range(2)][1]["tenant"] == "meanwhile"


async def test_a_quiet_tenants_stream_stays_where_the_trail_is(
    api: Api, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that it can be resumed from there when the events of the tenant itself are long pruned."""
    monkeypatch.setattr(watch, "HEARTBEAT_SECONDS", 0.05)
    await api.create("quiet")
    async with aclosing(raw(client, "/v1/tenants/quiet/watch", {})) as found:
        await anext(found)
        await api.create("loud")
        newest = (await client.get("/v1/events?limit=1")).json()["items"][0]["id"]
        async with asyncio.timeout(5):
            while await anext(found) != f"id: {newest}":
                pass


async def test_what_comes_between_the_page_and_the_subscription_is_not_lost(
    api: Api, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than a page of it, and handed out by the feed before there is a subscription."""
    monkeypatch.setattr(watch, "PAGE", 5)
    await api.create()
    first = (await client.get("/v1/events?limit=1")).json()["items"][0]["id"]
    after = trail_rows.after
    burst: list[int] = []

    async def page(*values: Any, **named: Any) -> Any:
        found = await after(*values, **named)
        if not burst:  # the first page is read: now a burst, before anybody is subscribed
            async with api.database.begin() as connection:
                burst.extend(
                    (
                        await connection.execute(
                            text("INSERT INTO events (type) SELECT 'burst' FROM generate_series(1, 23) RETURNING id")
                        )
                    ).scalars()
                )

            async def handed_out() -> bool:
                return api.replica.feed.position >= burst[-1]

            await until(handed_out)
        return found

    monkeypatch.setattr(trail_rows, "after", page)
    async with aclosing(stream(client, "/v1/watch", first)) as found:
        seen: list[int] = []
        async with asyncio.timeout(10):
            while len(seen) < 23:
                event = await anext(found)
                seen += [event["id"]] if event else []
    assert seen == burst


async def test_a_stream_ends_with_its_token(
    api: Api, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Revoked, expired, narrowed or gone: no event that is committed afterwards is told."""
    monkeypatch.setattr(grants, "SECONDS", 0.3)
    endings: dict[str, str | None] = {
        "revoked": None,
        "expired": "UPDATE tokens SET expires_at = clock_timestamp() WHERE name = 'expired'",
        "narrowed": "UPDATE tokens SET role = 'viewer' WHERE name = 'narrowed'",
        "gone": "DELETE FROM tokens WHERE name = 'gone'",
        "noticeless": "UPDATE tokens SET revoked_at = clock_timestamp() WHERE name = 'noticeless'",
    }
    for name, statement in endings.items():
        made = await api.client.post("/v1/tokens", json={"name": name, "role": "operator"})
        bearer = {"Authorization": f"Bearer {made.json()['token']}"}
        async with aclosing(raw(client, "/v1/watch", bearer)) as found:
            assert await anext(found) == ": heartbeat"
            if statement is None:
                assert (await api.client.delete(f"/v1/tokens/{name}")).status_code == 200
                await api.create()
                assert await told(found) in ([], ["token.revoked"]), name
            else:
                async with api.database.begin() as connection:
                    await connection.execute(text(statement))
                assert await told(found) == [], name
        assert api.replica.grants._open == {}
        assert (await client.get("/v1/tenants", headers=bearer)).status_code == (200 if name == "narrowed" else 401)


async def test_a_token_that_expires_ends_its_stream_then(api: Api, client: httpx.AsyncClient) -> None:
    made = await api.client.post("/v1/tokens", json={"name": "short", "role": "viewer", "expires_in_seconds": 1})
    bearer = {"Authorization": f"Bearer {made.json()['token']}"}
    assert await told(raw(client, "/v1/watch", bearer), seconds=3) == []


async def test_who_waits_is_not_told_the_end_once_the_token_is_revoked(api: Api) -> None:
    made = await api.client.post("/v1/tokens", json={"name": "waits", "role": "operator"})
    headers = {"Authorization": f"Bearer {made.json()['token']}", "Prefer": "wait=20"}
    waiting = asyncio.create_task(api.client.post("/v1/tenants", json=tenant(), headers=headers))
    await api.woken()
    await api.client.delete("/v1/tokens/waits")
    await api.end("acme")
    assert (await waiting).status_code == 202
