"""Idempotency keys and `Prefer: wait`, composed with commits, refusals, disconnects and each other."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest_asyncio
from sqlalchemy import text

from controlplane.api.replica import WAITERS
from controlplane.model import ExecutionState, Status
from controlplane.persistence import idempotency
from controlplane.ports import Wake
from tests.fakes import Woken
from tests.integration.api_replica import Api, api_on, served, tenant

KEY = {"Idempotency-Key": "k-1"}


@pytest_asyncio.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with api_on(database_url) as api:
        yield api


async def post(api: Api, name: str = "acme", **headers: str) -> httpx.Response:
    return await api.client.post("/v1/tenants", json=tenant(name), headers={**KEY, **headers})


async def test_the_same_key_replays_the_same_answer(api: Api) -> None:
    first = await post(api)
    await api.end("acme")

    again = await post(api)

    assert (first.status_code, again.status_code) == (202, 202)
    assert again.content == first.content
    assert (again.headers["etag"], again.headers["location"]) == (first.headers["etag"], first.headers["location"])
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert await api.count("tenants") == await api.count("executions") == 1
    assert len(api.directory.woken) == 1


async def test_the_key_lives_in_the_database_not_in_the_replica(api: Api, database_url: str) -> None:
    first = await post(api)
    async with api_on(database_url) as other:
        again = await post(other)
    assert (again.status_code, again.content) == (202, first.content)


async def test_another_request_under_the_key_is_422(api: Api) -> None:
    await post(api)
    other = await post(api, "other")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    await api.client.delete("/v1/tenants/acme", headers=KEY)
    forced = await api.client.delete("/v1/tenants/acme?force=true", headers=KEY)
    assert forced.json()["code"] == "idempotency_key_reused"
    assert await api.count("tenants") == 1


async def test_the_scope_of_a_key_is_token_method_and_path(api: Api) -> None:
    await post(api)
    operator = await api.bearer("operator")
    as_operator = await api.client.post("/v1/tenants", json=tenant("second"), headers={**KEY, **operator})
    assert as_operator.status_code == 202
    patched = await api.client.patch("/v1/tenants/acme", json={"labels": {"a": "b"}}, headers=KEY)
    assert patched.status_code == 200
    replayed = await api.client.patch("/v1/tenants/acme", json={"labels": {"a": "b"}}, headers=KEY)
    assert (replayed.status_code, replayed.headers["idempotency-replayed"]) == (200, "true")
    other = await api.client.patch("/v1/tenants/second", json={"labels": {"a": "b"}}, headers=KEY)
    assert "idempotency-replayed" not in other.headers


async def test_fifty_at_once_under_one_key(database_url: str) -> None:
    """Over HTTP, at two replicas; and again after both were restarted."""
    async with api_on(database_url) as api, api_on(database_url) as other, served(api) as one, served(other) as two:
        posts = [client.post("/v1/tenants", json=tenant(), headers=KEY) for client in (one, two) * 25]
        answers = await asyncio.gather(*posts)
        assert await api.count("tenants") == await api.count("executions") == 1
    good = [answer for answer in answers if answer.status_code == 202]
    rest = [answer for answer in answers if answer.status_code != 202]
    assert good
    assert len({answer.content for answer in good}) == 1
    assert {(answer.status_code, answer.json()["code"]) for answer in rest} <= {(409, "idempotency_in_progress")}
    async with api_on(database_url) as api, served(api) as client:
        again = await client.post("/v1/tenants", json=tenant(), headers=KEY)
        assert (again.status_code, again.content) == (202, good[0].content)
        assert again.headers["idempotency-replayed"] == "true"
        assert await api.count("tenants") == await api.count("executions") == 1


async def test_an_open_transaction_with_the_key_is_409_without_waiting(api: Api) -> None:
    async with api.database.begin() as connection:
        await connection.execute(text("LOCK TABLE tenants IN SHARE ROW EXCLUSIVE MODE"))
        first = asyncio.create_task(post(api))
        await api.blocked()
        second = await asyncio.wait_for(post(api), 5)
        assert (second.status_code, second.json()["code"]) == (409, "idempotency_in_progress")
        assert not first.done()
    assert (await first).status_code == 202


async def test_a_503_after_the_commit_is_not_the_answer_of_the_key(api: Api) -> None:
    api.directory.outcome = Wake("refused", "the engine is down")
    refused = await post(api)
    assert (refused.status_code, refused.json()["code"]) == (503, "workflow_trigger_failed")
    again = await post(api)
    assert (again.status_code, again.headers["idempotency-replayed"]) == (202, "true")
    assert again.json() == refused.json()["tenant"]


async def test_a_refusal_leaves_the_key_free(api: Api) -> None:
    await api.create("acme")
    assert (await post(api)).status_code == 409
    assert (await post(api, "other")).status_code == 202
    for key in ("", "x" * 256, "tab\tin"):
        bad = await api.client.post("/v1/tenants", json=tenant("third"), headers={"Idempotency-Key": key})
        assert (bad.status_code, bad.json()["errors"][0]["loc"]) == (400, "Idempotency-Key")


async def test_a_stale_if_match_replays_too(api: Api) -> None:
    await api.create()
    headers = {**KEY, "If-Match": '"1"'}
    first = await api.client.patch("/v1/tenants/acme", json={"labels": {"a": "b"}}, headers=headers)
    again = await api.client.patch("/v1/tenants/acme", json={"labels": {"a": "b"}}, headers=headers)
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.content == first.content


async def test_a_dry_run_takes_no_key(api: Api) -> None:
    planned = await api.client.post("/v1/tenants?dry_run=true", json=tenant(), headers=KEY)
    assert planned.status_code == 200
    assert (await post(api)).status_code == 202


async def test_keys_end_after_24_hours(api: Api) -> None:
    await post(api)
    async with api.database.begin() as connection:
        await connection.execute(text("UPDATE idempotency_keys SET created_at = created_at - interval '25 hours'"))
    fresh = await post(api, "other")
    assert (fresh.status_code, fresh.json()["name"]) == (202, "other")
    assert await idempotency.prune(api.database) == 0
    async with api.database.begin() as connection:
        await connection.execute(text("UPDATE idempotency_keys SET created_at = created_at - interval '25 hours'"))
    assert await idempotency.prune(api.database) == 1


async def test_a_client_that_leaves_changes_nothing(api: Api) -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def hold(_: Woken) -> None:
        entered.set()
        await leave.wait()

    api.directory.before_answer = hold
    request = asyncio.create_task(post(api))
    await entered.wait()
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    leave.set()
    api.directory.before_answer = None
    again = await post(api)
    assert (again.status_code, again.headers["idempotency-replayed"]) == (202, "true")
    assert len(api.directory.woken) == 1


async def test_a_client_that_leaves_before_the_commit_is_still_served(api: Api) -> None:
    async with api.database.begin() as connection:
        await connection.execute(text("LOCK TABLE tenants IN SHARE ROW EXCLUSIVE MODE"))
        request = asyncio.create_task(post(api))
        await api.blocked()
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)
    await api.replica.background.finish(5)
    assert [woken.name for woken in api.directory.woken] == ["acme"]
    assert (await post(api)).headers["idempotency-replayed"] == "true"


# --- Prefer: wait -----------------------------------------------------------------------------------------------------


async def test_wait_answers_the_final_tenant_as_soon_as_the_execution_ends(api: Api) -> None:
    async with served(api) as client:
        waiting = asyncio.create_task(client.post("/v1/tenants", json=tenant(), headers={"Prefer": "wait=60"}))
        await api.woken()
        await api.end("acme")
        answer = await asyncio.wait_for(waiting, 5)
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")
    assert answer.headers["etag"] == '"1"'
    assert answer.headers["preference-applied"] == "wait=60"


async def test_wait_answers_a_failed_tenant_too(api: Api) -> None:
    waiting = asyncio.create_task(post(api, Prefer="respond-async, wait=60"))
    await api.woken()
    await api.end("acme", ExecutionState.FAILED)
    answer = await asyncio.wait_for(waiting, 5)
    assert (answer.status_code, answer.json()["status"]) == (200, "failed")


async def test_wait_that_is_too_short_is_the_202(api: Api) -> None:
    answer = await asyncio.wait_for(post(api, Prefer="wait=1"), 5)
    assert (answer.status_code, answer.json()["status"]) == (202, "requested")


async def test_wait_applies_to_a_replay(api: Api) -> None:
    await post(api)
    waiting = asyncio.create_task(post(api, Prefer="wait=60"))
    await asyncio.sleep(0)
    await api.end("acme")
    answer = await asyncio.wait_for(waiting, 5)
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")
    assert answer.headers["idempotency-replayed"] == "true"


async def test_wait_follows_what_supersedes(api: Api) -> None:
    first = asyncio.create_task(post(api, Prefer="wait=60"))
    await api.woken()
    await api.client.patch("/v1/tenants/acme", json={"spec": {"heal": "none"}})
    await api.end("acme")
    answer = await asyncio.wait_for(first, 5)
    assert (answer.status_code, answer.json()["generation"]) == (200, 2)


async def test_wait_for_a_deletion(api: Api) -> None:
    await api.create()
    await api.end("acme")
    waiting = asyncio.create_task(api.client.delete("/v1/tenants/acme", headers={"Prefer": "wait=60"}))
    await api.woken(2)
    await api.end("acme", status=Status.DELETED)
    answer = await asyncio.wait_for(waiting, 5)
    assert (answer.status_code, answer.json()["status"]) == (200, "deleted")


async def test_waiters_have_slots_of_their_own(api: Api) -> None:
    api.replica.waiters._running["others"] = WAITERS
    answer = await asyncio.wait_for(post(api, Prefer="wait=60"), 5)
    assert answer.status_code == 202
