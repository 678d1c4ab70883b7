"""Narrowed tokens: other tenants are not there for them, wherever one looks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from sqlalchemy import text

from controlplane.api import grants
from controlplane.errors import SettingsError
from controlplane.model.reach import Reach
from controlplane.persistence import bootstrap, tokens
from tests.integration.api_replica import Api, api_on, served, tenant, until
from tests.integration.test_api_watch import stream

GOLD = {"tier": "gold"}


@pytest_asyncio.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with api_on(database_url) as api:
        yield api


async def narrowed(api: Api, role: str = "operator", **reach: str) -> dict[str, str]:
    """Headers of a caller with such a token."""
    name = f"{role}-{uuid4()}"
    answer = await api.client.post("/v1/tokens", json={"name": name, "role": role, **reach})
    assert answer.status_code == 201, answer.text
    assert {key: answer.json()[key] for key in reach} == reach
    return {"Authorization": f"Bearer {answer.json()['token']}"}


@pytest.mark.parametrize("reach", [{"name_prefix": "acme-"}, {"selector": "tier=gold"}])
async def test_lists_and_trails_show_what_is_within_reach(api: Api, reach: dict[str, str]) -> None:
    mine = await narrowed(api, "viewer", **reach)
    await api.create("acme-one", labels=GOLD)
    await api.create("other", labels={"tier": "silver"})
    await api.create("acme-two", labels=GOLD)
    listed = (await api.client.get("/v1/tenants", headers=mine)).json()["items"]
    assert [item["name"] for item in listed] == ["acme-one", "acme-two"]
    first = (await api.client.get("/v1/tenants?limit=1", headers=mine)).json()
    second = (await api.client.get(f"/v1/tenants?limit=1&cursor={first['next_cursor']}", headers=mine)).json()
    assert ([item["name"] for item in second["items"]], second["next_cursor"]) == (["acme-two"], None)
    events = (await api.client.get("/v1/events", headers=mine)).json()["items"]
    assert {event["tenant"] for event in events} == {"acme-one", "acme-two"}
    assert (await api.client.get("/v1/tenants?name_prefix=oth", headers=mine)).json()["items"] == []
    everything = (await api.client.get("/v1/events")).json()["items"]
    assert {event["tenant"] for event in everything} == {"acme-one", "acme-two", "other", None}


async def test_changes_reach_only_those_tenants(api: Api) -> None:
    mine = await narrowed(api, name_prefix="acme-", selector="tier=gold")
    within = tenant("acme-one", labels=GOLD)
    for body in (tenant("other", labels=GOLD), tenant("acme-one"), tenant("acme-one", labels={"tier": "silver"})):
        for query in ("", "?dry_run=true"):
            refused = await api.client.post(f"/v1/tenants{query}", json=body, headers=mine)
            assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
            assert "tenants named acme-… with the labels tier=gold" in refused.json()["detail"]
    assert await api.count("tenants") == 0
    assert (await api.client.post("/v1/tenants", json=within, headers=mine)).status_code == 202
    same = {"labels": {"team": "a"}}
    assert (await api.client.patch("/v1/tenants/acme-one", json=same, headers=mine)).status_code == 200
    for labels in ({"tier": "silver"}, {"tier": None}):
        left = await api.client.patch("/v1/tenants/acme-one", json={"labels": labels}, headers=mine)
        assert (left.status_code, left.json()["code"]) == (403, "forbidden")
    # By anyone else it may leave, and is gone from then on.
    id = (await api.client.get("/v1/tenants/acme-one", headers=mine)).json()["id"]
    await api.client.patch("/v1/tenants/acme-one", json={"labels": {"tier": "silver"}})
    for reference in ("acme-one", id):
        gone = await api.client.get(f"/v1/tenants/{reference}", headers=mine)
        never = await api.client.get("/v1/tenants/acme-two", headers=mine)
        assert (gone.status_code, gone.json()["code"]) == (404, "tenant_not_found")
        assert gone.json()["detail"].replace(reference, "") == never.json()["detail"].replace("acme-two", "")


async def test_what_was_deleted_stays_within_its_reach(api: Api) -> None:
    mine, others = await narrowed(api, name_prefix="acme-"), await narrowed(api, name_prefix="other-")
    id = (await api.create("acme-one")).json()["id"]
    await api.client.delete("/v1/tenants/acme-one?force=true")
    assert (await api.client.get("/v1/tenants/acme-one", headers=mine)).status_code == 410
    assert (await api.client.get(f"/v1/tenants/{id}", headers=mine)).status_code == 200
    for path in ("acme-one", id, f"{id}/events", "acme-one/watch"):
        hidden = await api.client.get(f"/v1/tenants/{path}", headers={**others, "Last-Event-ID": "0"})
        assert hidden.status_code == 404, path


async def test_a_watch_of_all_tells_of_those_within_reach(api: Api) -> None:
    mine = await narrowed(api, "viewer", selector="tier=gold")
    before = (await api.client.get("/v1/events?limit=1")).json()["items"][0]["id"]
    await api.create("early", labels=GOLD)
    await api.create("hidden")
    async with served(api) as client:
        client.headers.update(mine)
        async with aclosing(stream(client, "/v1/watch", before)) as found:
            assert (await anext(found))["tenant"] == "early"
            assert await anext(found) == {}
            # Comes into reach, is seen from then on, and leaves it.
            await api.client.patch("/v1/tenants/hidden", json={"labels": GOLD})
            assert (await anext(found))["type"] == "tenant.metadata_changed"
            await api.client.patch("/v1/tenants/hidden", json={"labels": {"tier": None}})
            await api.create("late", labels=GOLD)
            seen = await anext(found)
    assert (seen["tenant"], seen["type"]) == ("late", "tenant.created")


async def test_a_wait_does_not_show_a_tenant_that_left_the_reach(api: Api) -> None:
    mine = await narrowed(api, selector="tier=gold")
    headers = {**mine, "Prefer": "wait=20"}
    waiting = asyncio.create_task(api.client.post("/v1/tenants", json=tenant(labels=GOLD), headers=headers))
    await api.woken()
    await api.client.patch("/v1/tenants/acme", json={"labels": {"tier": "silver"}})
    await api.end("acme")
    assert (await waiting).status_code == 202


async def test_a_stream_ends_when_its_token_is_narrowed(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """No route narrows a token that exists; somebody with the database may."""
    monkeypatch.setattr(grants, "SECONDS", 0.2)
    made = (await api.client.post("/v1/tokens", json={"name": "wide", "role": "viewer"})).json()
    async with served(api) as client:
        client.headers["Authorization"] = f"Bearer {made['token']}"
        async with aclosing(stream(client, "/v1/watch")) as found:
            assert await anext(found) == {}
            async with api.database.begin() as connection:
                await connection.execute(
                    text("UPDATE tokens SET name_prefix = 'acme-', hash = 'narrowed:' || hash WHERE name = 'wide'")
                )
            async with asyncio.timeout(20):
                with pytest.raises(StopAsyncIteration):
                    await anext(found)
        assert (await client.get("/v1/events")).json()["items"] == []


async def test_what_is_about_the_whole_installation_is_not_for_narrowed_tokens(api: Api) -> None:
    refused = await api.client.post("/v1/tokens", json={"name": "a", "role": "admin", "name_prefix": "acme-"})
    assert (refused.status_code, refused.json()["code"]) == (400, "validation_failed")
    assert "an admin reaches all tenants" in refused.json()["errors"][0]["message"]
    # Not even if such a row is there.
    async with api.database.begin() as connection:
        _, secret = await tokens.create(connection, "a", "admin", reach=Reach.of("acme-"))
    mine = {"Authorization": f"Bearer {secret}"}
    for path in ("/v1/tokens", "/v1/admin/pause", "/v1/admin/consistency", "/v1/admin/trail"):
        assert (await api.client.get(path, headers=mine)).status_code == 403, path


@pytest.mark.parametrize(
    "reach",
    [
        {"name_prefix": "Acme"},
        {"name_prefix": "a%"},
        {"name_prefix": "x" * 41},
        {"selector": "a=b=c"},
        {"selector": ","},
    ],
)
async def test_a_reach_that_cannot_be_is_refused(api: Api, reach: dict[str, str]) -> None:
    answer = await api.client.post("/v1/tokens", json={"name": "ci", "role": "viewer", **reach})
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")
    assert answer.json()["errors"][0]["loc"] == next(iter(reach))


async def test_a_selector_that_cannot_be_read_opens_nothing(api: Api) -> None:
    mine = await narrowed(api, "viewer", selector="tier=gold")
    async with api.database.begin() as connection:
        await connection.execute(text("UPDATE tokens SET selector = 'of a later release(' WHERE selector <> ''"))
    assert (await api.client.get("/v1/tenants", headers=mine)).status_code == 401


async def test_the_secret_of_a_narrowed_token_never_becomes_the_admins(api: Api) -> None:
    mine = await narrowed(api, name_prefix="acme-")
    with pytest.raises(SettingsError, match="secret of the token"):
        await bootstrap.admit(api.database, mine["Authorization"].removeprefix("Bearer "))


async def test_the_last_use_is_written_behind_the_requests_and_once_a_minute(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    write = tokens.used

    async def counted(database: Any, ids: Any) -> None:
        written.append(len(ids))
        await write(database, ids)

    monkeypatch.setattr(tokens, "used", counted)
    made = (await api.client.post("/v1/tokens", json={"name": "ci", "role": "viewer"})).json()
    lasts = datetime.fromisoformat(made["expires_at"]) - datetime.fromisoformat(made["created_at"])
    assert (made["last_used_at"], round(lasts / timedelta(days=1), 3)) == (None, 90)
    mine = {"Authorization": f"Bearer {made['token']}"}

    async def used() -> str | None:
        listed = (await api.client.get("/v1/tokens")).json()["items"]
        return next(item["last_used_at"] for item in listed if item["name"] == "ci")

    assert await used() is None
    for _ in range(20):
        assert (await api.client.get("/v1/tenants", headers=mine)).status_code == 200

    async def noted() -> bool:
        return await used() is not None

    await asyncio.wait_for(until(noted), 20)
    first = await used()
    count = len(written)
    await api.client.get("/v1/tenants", headers=mine)
    api.replica.last_use._again.clear()
    await api.client.get("/v1/tenants", headers=mine)
    await api.replica.last_use.finish()
    # Another replica's note within the minute changes nothing.
    assert (len(written), await used()) == (count + 1, first)


async def test_a_database_that_is_away_costs_only_the_note_of_the_last_use(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(database: Any, ids: Any) -> None:
        raise OSError("away")

    monkeypatch.setattr(tokens, "used", away)
    await api.client.get("/v1/tenants")
    await api.replica.last_use.finish()
    assert (await api.client.get("/v1/tenants")).status_code == 200
