"""Tokens: made, listed, revoked, expired; secrets of tenants that never leave; pause, logs, providers."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from sqlalchemy import insert, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.errors import SettingsError
from controlplane.persistence import bootstrap, tables, tokens
from tests.integration.api_replica import Api, api_on, tenant, until

STARS = "********"
NEXT = "the-next-admin-token-of-the-tests"


@pytest_asyncio.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with api_on(database_url) as api:
        yield api


async def make(api: Api, name: str = "ci", **values: Any) -> dict[str, Any]:
    answer = await api.client.post("/v1/tokens", json={"name": name, "role": "viewer", **values})
    assert answer.status_code == 201, answer.text
    found = answer.json()
    assert isinstance(found, dict)
    return found


async def works(api: Api, token: dict[str, Any]) -> int:
    headers = {"Authorization": f"Bearer {token['token']}"}
    return (await api.client.get("/v1/tenants", headers=headers)).status_code


async def test_a_secret_is_shown_once_and_only_its_hash_is_stored(api: Api) -> None:
    made = await make(api)
    assert await works(api, made) == 200
    listed = await api.client.get("/v1/tokens")
    assert [(item["name"], item["role"]) for item in listed.json()["items"]] == [("admin", "admin"), ("ci", "viewer")]
    assert made["token"] not in listed.text
    for table in ("tokens", "events"):
        async with api.database.connect() as connection:
            rows = (await connection.execute(text(f"SELECT * FROM {table}"))).all()
        assert made["token"] not in str(rows)
    again = await api.client.post("/v1/tokens", json={"name": "ci", "role": "admin"})
    assert (again.status_code, again.json()["code"]) == (409, "token_exists")
    told = [item["type"] for item in (await api.client.get("/v1/events")).json()["items"]]
    assert told == ["token.created"]


async def test_the_admin_token_is_replaced_while_everything_runs_and_the_trail_says_so(api: Api) -> None:
    before = api.client.headers["Authorization"]
    second = await make(api, "second", role="admin")
    other = {"Authorization": f"Bearer {NEXT}"}
    refused = await api.client.get("/v1/tenants", headers=other)
    assert (refused.status_code, refused.json()["detail"]) == (401, "send a valid token in the header `Authorization`")
    await bootstrap.admit(api.database, NEXT)

    async def replaced() -> bool:
        old = await api.client.get("/v1/tenants")
        new = await api.client.get("/v1/tenants", headers=other)
        return (old.status_code, new.status_code) == (401, 200)

    # Well before the cache would have forgotten either.
    await asyncio.wait_for(until(replaced), 3)
    assert await works(api, second) == 200
    told = (await api.client.get("/v1/events", headers=other)).json()["items"][0]
    assert (told["type"], told["actor"], told["data"]["name"]) == ("token.replaced", "landlord up", "admin")
    assert before.removeprefix("Bearer ") not in str(told)
    # The same again is no change.
    await bootstrap.admit(api.database, NEXT)
    assert (await api.client.get("/v1/events", headers=other)).json()["items"][0]["id"] == told["id"]


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
async def test_a_token_of_another_name_never_becomes_the_admins(api: Api, role: str) -> None:
    made = await make(api, role=role)
    with pytest.raises(SettingsError, match=rf"secret of the token 'ci' \({role}\)"):
        await bootstrap.admit(api.database, made["token"])
    await api.client.delete("/v1/tokens/ci")
    with pytest.raises(SettingsError, match="secret of the token 'ci'"):
        await bootstrap.admit(api.database, made["token"])
    with pytest.raises(SettingsError, match="needs 32 characters"):
        await bootstrap.admit(api.database, "a")
    assert (await api.client.get("/v1/tenants")).status_code == 200


async def test_unknown_tokens_cost_a_query_together_and_keep_no_valid_one_out(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    find_all = tokens.find_all

    async def counted(database: AsyncEngine, hashes: Sequence[str]) -> dict[str, tokens.Token]:
        asked.append(len(hashes))
        return await find_all(database, hashes)

    monkeypatch.setattr(tokens, "find_all", counted)
    made = await make(api)

    async def guess(number: int) -> int:
        return await works(api, {"token": f"guess-{number}"})

    found = await asyncio.gather(*(guess(number) for number in range(300)), works(api, made))
    assert found == [401] * 300 + [200]
    assert len(asked) < 20

    async def remembered() -> bool:
        """Once the replica has heard of the token above, after which it forgets what was unknown."""
        asked.clear()
        assert [await guess(number) for number in range(50)] == [401] * 50
        return asked == []

    await asyncio.wait_for(until(remembered), 10)


async def test_a_revoked_token_opens_nothing_at_any_replica(api: Api, database_url: str) -> None:
    made = await make(api)
    async with api_on(database_url) as other:
        assert (await works(api, made), await works(other, made)) == (200, 200)
        revoked = await api.client.delete("/v1/tokens/ci")
        assert revoked.json()["revoked_at"]
        assert await works(api, made) == 401

        async def refused() -> bool:
            return await works(other, made) == 401

        # Well before the cache would have forgotten it.
        await asyncio.wait_for(until(refused), 3)
    again = (await api.client.delete("/v1/tokens/ci")).json()
    assert {**again, "last_used_at": None} == {**revoked.json(), "last_used_at": None}
    assert await works(api, await make(api)) == 200


async def test_an_expired_token_opens_nothing(api: Api) -> None:
    made = await make(api, expires_in_seconds=1)

    async def refused() -> bool:
        return await works(api, made) == 401

    assert await works(api, made) == 200
    await asyncio.wait_for(until(refused), 3)


async def test_what_cannot_be_revoked(api: Api) -> None:
    assert (await api.client.delete("/v1/tokens/admin")).json()["code"] == "invalid_transition"
    for name in ("none", "%00"):
        assert (await api.client.delete(f"/v1/tokens/{name}")).json()["code"] == "token_not_found"


@pytest.mark.parametrize(
    "body",
    [
        {"name": "a b", "role": "viewer"},
        {"name": "a", "role": "root"},
        {"name": "a"},
        {"name": "Supervisor", "role": "viewer"},
    ],
)
async def test_bad_tokens(api: Api, body: dict[str, Any]) -> None:
    assert (await api.client.post("/v1/tokens", json=body)).status_code == 400


async def test_values_that_look_secret_never_leave(api: Api) -> None:
    config = {"image": "web:1", "env": {"COLOR": "blue", "DB_PASSWORD": "hunter2", "API_TOKEN": "t0p"}}
    body = tenant(spec={"compute": {"provider": "cloud", "config": config}})
    planned = await api.client.post("/v1/tenants?dry_run=true", json=body)
    created = await api.client.post("/v1/tenants", json=body)
    shown = created.json()["spec"]["compute"]["config"]["env"]
    assert shown == {"COLOR": "blue", "DB_PASSWORD": STARS, "API_TOKEN": STARS}

    # Read, change, write: the stars stand for what is stored.
    document = {"spec": created.json()["spec"]}
    document["spec"]["compute"]["config"]["env"] |= {"COLOR": "green"}
    patched = await api.client.patch("/v1/tenants/acme", json=document)
    assert patched.status_code == 202
    assert await stored_env(api) == {"COLOR": "green", "DB_PASSWORD": "hunter2", "API_TOKEN": "t0p"}
    unchanged = await api.client.patch("/v1/tenants/acme", json={"spec": patched.json()["spec"]})
    assert unchanged.status_code == 200
    changed = await api.client.patch(
        "/v1/tenants/acme", json={"spec": {"compute": {"config": {"env": {"DB_PASSWORD": "hunter3"}}}}}
    )
    assert (await stored_env(api))["DB_PASSWORD"] == "hunter3"

    trail = await api.client.get("/v1/events")
    listed = await api.client.get("/v1/tenants")
    for answer in (planned, created, patched, changed, trail, listed):
        assert "hunter" not in answer.text
        assert "t0p" not in answer.text


async def test_stars_without_anything_behind_them_are_refused(api: Api) -> None:
    config = {"image": "web:1", "env": {"DB_PASSWORD": STARS}}
    body = tenant(spec={"compute": {"provider": "cloud", "config": config}})
    answer = await api.client.post("/v1/tenants", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (400, "spec.compute.config.env.DB_PASSWORD")
    await api.create()
    answer = await api.client.patch("/v1/tenants/acme", json={"spec": {"compute": {"config": config}}})
    assert answer.status_code == 400


async def test_pause_and_resume(api: Api) -> None:
    await api.create()
    await api.end("acme")
    api.directory.woken.clear()
    paused = (await api.client.post("/v1/tenants/acme/pause")).json()
    [condition] = paused["conditions"]
    assert (paused["paused"], paused["version"]) == (True, 1)
    assert (condition["type"], condition["status"], condition["reason"]) == ("Synced", "false", "Paused")
    patched = await api.client.patch("/v1/tenants/acme", json={"spec": {"heal": "none"}})
    assert patched.status_code == 202
    resumed = (await api.client.post("/v1/tenants/acme/resume")).json()
    assert (resumed["paused"], resumed["conditions"][0]["reason"]) == (False, "Resumed")
    # None of the three waited for a start that a pause forbids.
    await api.woken(3)
    assert [woken.execution_id for woken in api.directory.woken] == [None, None, None]
    told = [item["type"] for item in (await api.client.get("/v1/tenants/acme/events")).json()["items"]]
    assert {"tenant.paused", "tenant.resumed"} <= set(told)
    assert (await api.client.post("/v1/tenants/acme/resume")).status_code == 202


async def test_a_provider_or_all_are_paused(api: Api) -> None:
    async def paused(method: str, path: str, **body: Any) -> Any:
        return (await api.client.request(method, f"/v1/admin/{path}", json=body)).json()

    await api.create()
    assert await paused("POST", "pause", provider="cloud") == {"all": False, "providers": ["cloud"]}
    assert await said(api) == (True, "Paused", "cloud is paused: changes are accepted, nothing is done")
    assert await paused("POST", "pause", provider="restate") == {"all": False, "providers": ["cloud", "restate"]}
    # Only of tenants on it: this one's engine is another.
    assert (await paused("POST", "resume", provider="cloud"))["providers"] == ["restate"]
    assert await said(api) == (False, None, None)
    # The engine that the installation chose counts as one that was named.
    await paused("POST", "pause", provider="embedded")
    assert await said(api) == (True, "Paused", "embedded is paused: changes are accepted, nothing is done")
    other = (await api.create("other")).json()
    assert (other["paused"], other["conditions"][0]["reason"]) == (True, "Paused")
    await paused("POST", "resume", provider="embedded")
    await paused("POST", "pause", provider="cloud")
    elsewhere = {"compute": {"provider": "process", "config": {"command": ["serve"]}}}
    assert (await api.create("elsewhere", spec=elsewhere)).json()["paused"] is False
    patched = (await api.client.patch("/v1/tenants/acme", json={"spec": {"heal": "none"}})).json()
    assert (patched["paused"], patched["conditions"][0]["reason"]) == (True, "Paused")
    assert await paused("POST", "pause", all=True) == {"all": True, "providers": ["cloud", "restate"]}
    assert (await paused("POST", "pause", provider="moon"))["code"] == "provider_not_enabled"
    for body in ({}, {"all": False}, {"all": True, "provider": "cloud"}):
        assert (await paused("POST", "pause", **body))["code"] == "validation_failed"
    for body in ({"all": True}, {"provider": "restate"}, {"provider": "cloud"}, {"provider": "cloud"}):
        await paused("POST", "resume", **body)
    assert (await api.client.get("/v1/admin/pause")).json() == {"all": False, "providers": []}
    assert await said(api) == (False, "Accepted", "")
    # One that is paused itself stays so, whatever else is resumed; and is resumed itself while others are paused.
    await paused("POST", "pause", all=True)
    await api.client.post("/v1/tenants/acme/pause")
    await paused("POST", "resume", all=True)
    assert await said(api) == (True, "Paused", "paused: changes are accepted, nothing is done")
    await paused("POST", "pause", all=True)
    resumed = (await api.client.post("/v1/tenants/acme/resume")).json()
    assert (resumed["paused"], resumed["conditions"][0]["message"].split(" ")[0]) == (True, "all")
    await paused("POST", "resume", all=True)
    told = [(item["type"], item["actor"]) for item in (await api.client.get("/v1/events")).json()["items"]]
    assert ("pause.set", "admin") in told


async def test_logs_of_the_newest_resource(api: Api) -> None:
    created = (await api.create()).json()
    assert (await api.client.get("/v1/tenants/acme/logs")).text == ""
    await placed(api, created, "r-1")
    api.cloud.text = {"r-1": "one\ntwo\nthree"}
    answer = await api.client.get("/v1/tenants/acme/logs?tail=2")
    assert (answer.text, answer.headers["content-type"]) == ("two\nthree", "text/plain; charset=utf-8")
    assert "Log-Cursor" not in answer.headers
    assert (await api.client.get("/v1/tenants/acme/logs?tail=0")).status_code == 400


async def test_logs_are_followed_by_their_cursor(api: Api) -> None:
    created = (await api.create()).json()
    nothing = await api.client.get("/v1/tenants/acme/logs", params={"after": ""})
    assert (nothing.text, nothing.headers.get("Log-Cursor")) == ("", None)
    await placed(api, created, "r/1")
    api.cloud.text = {"r/1": "one\ntwo\nthree\n", "r-2": "of another\n"}

    async def after(cursor: str) -> tuple[str, str]:
        answer = await api.client.get("/v1/tenants/acme/logs", params={"after": cursor, "tail": 2})
        assert answer.status_code == 200, answer.text
        return answer.text, answer.headers["Log-Cursor"]

    text, cursor = await after("")
    assert text == "two\nthree\n"
    assert await after(cursor) == ("", cursor)
    api.cloud.text = {**api.cloud.text, "r/1": "one\ntwo\nthree\nfour\n"}
    assert (await after(cursor))[0] == "four\n"
    # What another resource wrote begins anew, and so does a cursor that nobody gave out.
    async with api.database.begin() as connection:
        await connection.execute(update(tables.placements).values(resource_id="r-2"))
    assert await after(cursor) == ("of another\n", "r-2/11")
    assert (await after("nonsense"))[0] == "of another\n"
    assert (await api.client.get("/v1/tenants/acme/logs", params={"after": "x" * 513})).status_code == 400


async def test_logs_that_cannot_be_followed_say_so(api: Api) -> None:
    created = (await api.create()).json()
    await placed(api, created, "r-1", "process")
    refused = await api.client.get("/v1/tenants/acme/logs", params={"after": ""})
    assert (refused.status_code, refused.json()["code"]) == (422, "logs_not_supported")
    assert refused.json()["detail"] == "the logs of provider 'process' cannot be followed"


async def placed(api: Api, created: Any, resource_id: str, platform: str = "cloud") -> None:
    """The tenant has this resource."""
    async with api.database.begin() as connection:
        await connection.execute(
            insert(tables.placements).values(
                execution_id=created["workflow_execution_id"],
                tenant_id=UUID(created["id"]),
                platform=platform,
                platform_identity=f"{platform}-1",
                generation=1,
                run=1,
                name="landlord-acme",
                resource_id=resource_id,
                state="placed",
            )
        )


async def test_providers_and_their_schemas(api: Api) -> None:
    found = (await api.client.get("/v1/providers")).json()
    assert [(item["name"], item["healthy"], item["one_node"]) for item in found["compute"]] == [
        ("cloud", True, False),
        ("process", True, True),
    ]
    assert [item["capabilities"] for item in found["compute"]] == [["logs", "follow_logs"], ["logs"]]
    assert found["workflow"] == [{"name": "embedded", "default": True}, {"name": "restate", "default": False}]
    schema = (await api.client.get("/v1/providers/compute/cloud/schema")).json()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["properties"]["replicas"]["default"] == 1
    unknown = await api.client.get("/v1/providers/compute/moon/schema")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "provider_not_found")


async def said(api: Api) -> tuple[bool, str | None, str | None]:
    """Of acme: whether it is paused, and what its condition says of that."""
    shown = (await api.client.get("/v1/tenants/acme")).json()
    [condition] = [one for one in shown["conditions"] if one["type"] == "Synced"] or [{}]
    return shown["paused"], condition.get("reason"), condition.get("message")


async def stored_env(api: Api) -> dict[str, str]:
    async with api.database.connect() as connection:
        found = await connection.execute(text("SELECT spec #> '{compute,config,env}' AS env FROM tenants"))
    return dict(found.scalar_one())
