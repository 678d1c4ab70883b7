"""Too much at once, and what hangs: every request is answered in time, and reads go on."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import text

from controlplane.api.replica import MUTATIONS, OF_ONE_TENANT, ROW_PATIENCE
from controlplane.persistence import idempotency
from tests.integration.api_replica import Api, api_on, served, tenant, until

TIMEOUT = 1.5
KEY = {"Idempotency-Key": "k-1"}


@pytest_asyncio.fixture
async def hurried(database_url: str) -> AsyncIterator[Api]:
    """With little time for a request."""
    async with api_on(database_url, request_timeout_seconds=TIMEOUT) as api:

        async def warm() -> bool:
            return (await api.client.get("/v1/tenants")).status_code == 200

        await until(warm)
        yield api


def overloaded(answer: httpx.Response) -> bool:
    return (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "overloaded", "1")


async def test_reads_stay_fast_while_a_thousand_mutations_wait(database_url: str) -> None:
    async with api_on(database_url, request_timeout_seconds=120) as api:
        await api.create()
        await _reads_beside_a_thousand_mutations(api)


async def test_a_read_that_hangs_is_answered(hurried: Api) -> None:
    async with hurried.database.begin() as connection:
        await connection.execute(text("LOCK TABLE tenants IN ACCESS EXCLUSIVE MODE"))
        for _ in range(2):
            assert overloaded(await asyncio.wait_for(hurried.client.get("/v1/tenants/none"), 5))
    # The connections of those that were cut off are good, or gone.
    answers = await asyncio.gather(*(hurried.client.get("/v1/tenants/none") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {404}


async def test_a_change_that_hangs_ends_beside_its_answer(hurried: Api) -> None:
    await hurried.create()
    patch = {"spec": {"heal": "none"}}
    async with hurried.database.begin() as connection:
        await connection.execute(text("SELECT 1 FROM tenants WHERE name = 'acme' FOR UPDATE"))
        answer = await asyncio.wait_for(hurried.client.patch("/v1/tenants/acme", json=patch, headers=KEY), 5)
        assert overloaded(answer)
    await hurried.replica.background.finish(5)
    again = await hurried.client.patch("/v1/tenants/acme", json=patch, headers=KEY)
    assert (again.status_code, again.headers["idempotency-replayed"]) == (202, "true")
    assert again.json()["generation"] == 2


async def test_a_change_without_a_key_that_hangs_is_not_made(hurried: Api) -> None:
    """Its client may have changed the tenant by another request meanwhile, or have replaced it."""
    await hurried.create()
    async with hurried.database.begin() as connection:
        await connection.execute(text("SELECT 1 FROM tenants WHERE name = 'acme' FOR UPDATE"))
        answer = await asyncio.wait_for(hurried.client.patch("/v1/tenants/acme", json={"spec": {"heal": "none"}}), 5)
        assert overloaded(answer)
    await hurried.replica.background.finish(5)
    assert (await hurried.client.get("/v1/tenants/acme")).json()["generation"] == 1


async def test_a_change_whose_time_is_over_before_it_begins_is_not_made(
    hurried: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a key too: the database was away, and is back."""
    await hurried.create()
    real, late = idempotency.claim, asyncio.Event()

    async def claim(*arguments: Any) -> Any:
        found = await real(*arguments)
        await late.wait()
        return found

    monkeypatch.setattr(idempotency, "claim", claim)
    patch = {"spec": {"heal": "none"}}
    assert overloaded(await asyncio.wait_for(hurried.client.patch("/v1/tenants/acme", json=patch, headers=KEY), 5))
    late.set()
    await hurried.replica.background.finish(5)
    assert (await hurried.client.get("/v1/tenants/acme")).json()["generation"] == 1
    again = await hurried.client.patch("/v1/tenants/acme", json=patch, headers=KEY)
    assert (again.status_code, again.json()["generation"]) == (202, 2)


async def test_a_change_that_waited_for_its_turn_in_vain_was_not_begun(hurried: Api) -> None:
    await hurried.create()
    async with AsyncExitStack() as busy:
        for number in range(MUTATIONS):
            await busy.enter_async_context(hurried.replica.mutations.take(f"another token {number}"))
        assert overloaded(await asyncio.wait_for(hurried.create("late"), 5))
    await hurried.replica.background.finish(5)
    assert await hurried.count("tenants") == 1


async def test_who_asks_to_wait_has_time_for_it(hurried: Api) -> None:
    began = time.monotonic()
    answer = await hurried.client.post("/v1/tenants", json=tenant(), headers={"Prefer": "wait=2"})
    assert (answer.status_code, answer.json()["status"]) == (202, "requested")
    assert time.monotonic() - began > 2 > TIMEOUT


async def test_an_answer_that_has_begun_takes_its_time(hurried: Api) -> None:
    async with served(hurried) as client, client.stream("GET", "/v1/watch") as stream:
        lines = stream.aiter_lines()
        assert (await anext(lines)).startswith(":")
        await asyncio.sleep(TIMEOUT * 2)
        await hurried.create()
        found = [line async for line in _until_data(lines)]
    assert "tenant.created" in found[-1]


async def test_a_listing_of_everything_has_more_time(hurried: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(owner: str, tenant_id: object = None) -> list[object]:
        await asyncio.sleep(TIMEOUT * 2)
        return []

    monkeypatch.setattr(hurried.cloud, "list_owned", slow)
    answer = await hurried.client.get("/v1/admin/consistency")
    assert answer.status_code == 200, answer.text


async def _reads_beside_a_thousand_mutations(api: Api) -> None:
    async with api.database.begin() as connection:
        await connection.execute(text("SELECT 1 FROM tenants WHERE name = 'acme' FOR UPDATE"))
        patches = [asyncio.create_task(api.client.patch("/v1/tenants/acme", json={})) for _ in range(1020)]
        # 6 are at work and 1,000 wait: what is beyond is told so at once.
        refused = await asyncio.wait_for(_first(patches, 14), 60)
        assert all(map(overloaded, refused))
        times = []
        for _ in range(50):
            began = time.perf_counter()
            answer = await api.client.get("/v1/tenants/acme")
            times.append(time.perf_counter() - began)
            assert answer.status_code == 200
        assert sorted(times)[25] < 0.25
        assert max(times) < 1
        assert sum(patch.done() for patch in patches) == 14
    answers = await asyncio.gather(*patches)
    # Each had its turn, or waited for it in vain: nobody waits for ever, and nothing else is said.
    done = [answer for answer in answers if answer.status_code == 200]
    assert len(done) > 500
    assert all(map(overloaded, set(answers) - set(done)))


async def test_one_tenants_locked_row_holds_up_nobody_else(database_url: str) -> None:
    """Twelve requests for it, by its name, its id and its execution; changes of others are done meanwhile."""
    async with api_on(database_url, request_timeout_seconds=10) as api:
        created = (await api.create()).json()
        paths = (
            ("PATCH", "/v1/tenants/acme"),
            ("POST", f"/v1/executions/{created['workflow_execution_id']}/cancel"),
        )
        async with api.database.begin() as connection:
            await connection.execute(text("SELECT 1 FROM tenants WHERE name = 'acme' FOR UPDATE"))
            stuck = [
                asyncio.create_task(api.client.request(*paths[number % 2], json={"labels": {"n": str(number)}}))
                for number in range(24)
            ]
            await api.blocked()
            times = []
            for number in range(30):
                began = time.perf_counter()
                answer = await api.create(f"other-{number}")
                times.append(time.perf_counter() - began)
                assert answer.status_code == 202, answer.text
            assert sorted(times)[28] < 1, times
            key = {"Idempotency-Key": "k-2"}
            waits = asyncio.create_task(api.client.patch("/v1/tenants/acme", json={}, headers=key))

            async def begun() -> bool:
                return bool(api.replica.open_keys)

            await until(begun)
            again = await api.client.patch("/v1/tenants/acme", json={}, headers=key)
            assert (again.status_code, again.json()["code"]) == (409, "idempotency_in_progress")
            assert all(map(overloaded, await asyncio.gather(waits, *stuck)))
        assert (await api.client.patch("/v1/tenants/acme", json={"labels": {"n": "1"}})).status_code == 200
        await api.replica.background.finish(5)
        assert api.replica.turns._slots == {}


async def test_locked_rows_of_three_tenants_hold_up_another_token_no_longer_than_a_rows_patience(
    database_url: str,
) -> None:
    """The owners of three tenants stand still in the middle of their writes, and one token changes all three again and
    again. The other token has a slot of its own meanwhile, and the first one is answered soon."""
    async with api_on(database_url, request_timeout_seconds=40) as api:
        other = await api.bearer("operator")
        names = ["stuck-0", "stuck-1", "stuck-2"]
        for name in names:
            await api.create(name)
        async with api.database.begin() as connection:
            await connection.execute(text("SELECT 1 FROM tenants WHERE name LIKE 'stuck-%' FOR UPDATE"))
            stuck = [
                asyncio.create_task(api.client.patch(f"/v1/tenants/{name}", json={"labels": {"n": str(number)}}))
                for name in names
                for number in range(OF_ONE_TENANT)
            ]
            await api.blocked()
            for number in range(10):
                answer = await api.client.post("/v1/tenants", json=tenant(f"other-{number}"), headers=other)
                assert answer.status_code == 202, answer.text
            assert not all(patch.done() for patch in stuck), "the slots were held all the time"
            patience = ROW_PATIENCE[1] * 40
            assert all(map(overloaded, await asyncio.wait_for(asyncio.gather(*stuck), 3 * patience)))


async def _until_data(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    async for line in lines:
        yield line
        if line.startswith("data:"):
            return


async def _first(tasks: list[asyncio.Task[httpx.Response]], count: int) -> list[httpx.Response]:
    found = []
    for task in asyncio.as_completed(tasks):
        found.append(await task)
        if len(found) == count:
            break
    return found
