"""The audit trail: who did it, to the token's id, and whether it is as it was written."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.model import EventType
from controlplane.persistence import chain, events
from controlplane.persistence.chain import Head
from controlplane.persistence.transaction import transaction
from tests.integration.api_replica import Api, api_on

AT_ONCE = 20
CLOUD = {"compute": {"provider": "cloud", "config": {"image": "web:1"}}}


@pytest_asyncio.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with api_on(database_url) as api:
        yield api


async def record(database: AsyncEngine, *messages: str) -> None:
    """In one transaction. Each is as awkward as one can be."""
    async with transaction(database, actor="test") as tx:
        for message in messages:
            tx.record(EventType.PAUSE_SET, message=message, data={"b": 'ü"\\\n', "a": [1.50, None, {"x": 1e20}]})


async def change(database: AsyncEngine, statement: str) -> None:
    async with database.begin() as connection:
        await connection.execute(text(statement))


async def ids(database: AsyncEngine) -> list[int]:
    async with database.connect() as connection:
        return list((await connection.execute(text("SELECT id FROM events ORDER BY id"))).scalars())


async def trail(api: Api, noted: str | None = None) -> Any:
    answer = await api.client.get("/v1/admin/trail", params={"noted": noted} if noted else {})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_each_event_says_whose_token_it_was(api: Api) -> None:
    created = (await api.client.post("/v1/tokens", json={"name": "ci", "role": "operator"})).json()
    bearer = {"Authorization": f"Bearer {created['token']}"}
    await api.client.post("/v1/tenants", json={"name": "acme", "spec": CLOUD}, headers=bearer)
    await api.client.post("/v1/admin/pause", json={"all": True})
    await api.client.delete("/v1/tokens/ci")
    # The name is free again, and another's.
    again = (await api.client.post("/v1/tokens", json={"name": "ci", "role": "viewer"})).json()
    told = (await api.client.get("/v1/events")).json()["items"]
    whose = {item["type"]: (item["actor"], item["token_id"]) for item in told}
    assert whose["tenant.created"] == ("ci", created["id"])
    assert created["id"] != again["id"]
    assert whose["pause.set"][0] == whose["token.revoked"][0] == "admin"
    assert whose["pause.set"][1] == whose["token.revoked"][1] is not None


async def test_what_many_write_at_once_is_one_chain(api: Api) -> None:
    await asyncio.gather(*(record(api.database, f"{number}", "second") for number in range(AT_ONCE)))
    found = await trail(api)
    assert (found["checked"], found["after"], found["broken"]) == (2 * AT_ONCE, 0, [])
    newest = (await api.client.get("/v1/events")).json()["items"][0]
    assert found["head"] == {"id": newest["id"], "hash": newest["hash"]}


@pytest.mark.parametrize(
    "tamper",
    [
        "UPDATE events SET message = 'another' WHERE id = {id}",
        "UPDATE events SET actor = NULL WHERE id = {id}",
        "UPDATE events SET data = data || '{{\"a\": 2}}' WHERE id = {id}",
        "UPDATE events SET at = at - interval '1 second' WHERE id = {id}",
        "UPDATE events SET hash = NULL WHERE id = {id}",
        "DELETE FROM events WHERE id = {id}",
    ],
)
async def test_what_was_changed_is_named(api: Api, tamper: str) -> None:
    await record(api.database, *"abcdef")
    victim = (await ids(api.database))[3]
    await change(api.database, tamper.format(id=victim))
    found = await trail(api)
    assert found["broken"]
    assert set(found["broken"]) <= {victim, victim + 1}
    [difference] = (await api.client.get("/v1/admin/consistency")).json()["differences"][:1]
    assert (difference["kind"], difference["resource"]) == ("broken_trail", f"event {found['broken'][0]}")


async def test_a_chain_that_was_made_anew_is_told_by_a_head_that_was_noted(api: Api) -> None:
    await record(api.database, *"abc")
    noted = "{id}:{hash}".format(**(await trail(api))["head"])
    assert (await trail(api, noted))["noted"] == "kept"
    # As somebody with the database would: take them all out, change one, put them back in through the trigger.
    async with api.database.begin() as connection:
        await connection.execute(text("CREATE TEMP TABLE kept ON COMMIT DROP AS SELECT * FROM events"))
        await connection.execute(text("DELETE FROM events"))
        await connection.execute(text("UPDATE kept SET message = 'x' WHERE message = 'b'"))
        await connection.execute(text("INSERT INTO events OVERRIDING SYSTEM VALUE SELECT * FROM kept ORDER BY id"))
    found = await trail(api, noted)
    assert (found["broken"], found["noted"]) == ([], "changed")
    bad = await api.client.get("/v1/admin/trail", params={"noted": "1:x"})
    assert bad.status_code == 400


async def test_retention_leaves_an_anchor_and_the_rest_still_fits(api: Api) -> None:
    await record(api.database, *"abcdef")
    before = await ids(api.database)
    noted = "{id}:{hash}".format(**(await trail(api))["head"])
    async with api.database.begin() as connection:
        await chain.move_anchor(connection, before[2])
        await connection.execute(text(f"DELETE FROM events WHERE id <= {before[2]}"))
    found = await trail(api, noted)
    assert (found["checked"], found["after"], found["broken"], found["noted"]) == (3, before[2], [], "kept")
    assert (await trail(api, f"{before[0]}:{'0' * 64}"))["noted"] == "pruned"
    # All of it, and on with the chain.
    await events.prune(api.database, older_than_seconds=0.0)
    assert (await trail(api, noted))["noted"] == "kept"
    await record(api.database, "g")
    found = await trail(api, noted)
    assert (found["checked"], found["after"], found["broken"], found["noted"]) == (1, before[-1], [], "kept")
    # The oldest that is kept cannot go without a trace.
    await record(api.database, "h")
    await change(api.database, f"DELETE FROM events WHERE id = {before[-1] + 1}")
    assert (await trail(api))["broken"]


async def test_an_event_from_the_future_that_retention_leaves_behind_breaks_nothing(api: Api) -> None:
    await record(api.database, *"abc")
    first = (await ids(api.database))[0]
    # As a clock that was wrong would have had it: written so, and in the chain.
    async with api.database.begin() as connection:
        await connection.execute(text("CREATE TEMP TABLE kept ON COMMIT DROP AS SELECT * FROM events"))
        await connection.execute(text("DELETE FROM events"))
        await connection.execute(text(f"UPDATE kept SET at = at + interval '1 day' WHERE id = {first}"))
        await connection.execute(text("INSERT INTO events OVERRIDING SYSTEM VALUE SELECT * FROM kept ORDER BY id"))
    assert (await trail(api))["broken"] == []
    await events.prune(api.database, older_than_seconds=0.0)
    assert await ids(api.database) == [first]
    await record(api.database, *"de")
    found = await trail(api)
    assert (found["checked"], found["after"], found["broken"]) == (2, first + 2, [])


async def test_what_is_older_than_the_chain_is_left_out(api: Api) -> None:
    await record(api.database, *"abc")
    last = (await ids(api.database))[-1]
    await change(api.database, "UPDATE events SET hash = NULL")
    detail = f"jsonb_build_object('through', {last}, 'hash', '')"
    await change(api.database, f"UPDATE heartbeats SET detail = {detail} WHERE name = '{chain.ANCHOR}'")
    await record(api.database, *"de")
    found = await trail(api)
    assert (found["checked"], found["after"], found["broken"]) == (2, last, [])
    # Those that go then move no anchor back.
    async with api.database.begin() as connection:
        await chain.move_anchor(connection, last - 1)
    assert (await trail(api))["after"] == last


async def test_only_the_newest_are_compared_where_so_many_were_asked_for(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain, "PART", 7)
    await record(api.database, *(str(number) for number in range(50)))
    first, *_, last = await ids(api.database)
    assert (await chain.verify(api.database)).checked == 50
    verdict = await chain.verify(api.database, newest=20)
    assert (verdict.checked, verdict.after, verdict.broken) == (20, last - 20, ())
    assert verdict.head is not None
    assert verdict.head.id == last
    await change(api.database, f"UPDATE events SET message = 'x' WHERE id = {first + 1}")
    assert (await chain.verify(api.database, newest=20)).broken == ()
    assert (await chain.verify(api.database, noted=Head(last, verdict.head.hash))).broken == (first + 1,)
