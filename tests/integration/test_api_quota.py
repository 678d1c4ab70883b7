"""Quotas: as many tenants as a setting allows, in all and of one token, however many are created at once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import select, text

from controlplane.api import key_room
from controlplane.model import Status
from controlplane.persistence import idempotency, tables
from tests.integration.api_replica import Api, api_on, tenant

LIMITS: dict[str, Any] = {"max_tenants": 5, "max_tenants_per_token": 3}


@pytest_asyncio.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with api_on(database_url, **LIMITS) as api:
        yield api


async def counted(api: Api) -> dict[str, int]:
    """The counts that are not zero; in all first."""
    async with api.database.connect() as connection:
        rows = await connection.execute(select(tables.tenant_counts.c.scope, tables.tenant_counts.c.live))
        return {row.scope: row.live for row in rows if row.live}


async def test_a_token_creates_no_more_than_its_share(api: Api) -> None:
    assert [(await api.create(f"t{number}")).status_code for number in range(3)] == [202] * 3
    refused = await api.create("t3")
    assert (refused.status_code, refused.json()["code"]) == (403, "quota_exceeded")
    assert "LANDLORD_MAX_TENANTS_PER_TOKEN" in refused.json()["detail"]
    assert (await api.client.post("/v1/tenants?dry_run=true", json=tenant("t3"))).status_code == 403
    assert await api.count("tenants") == 3
    assert len(api.directory.woken) == 3


async def test_all_together_create_no_more_than_fit(api: Api) -> None:
    for number in range(3):
        await api.create(f"t{number}")
    operator = await api.bearer("operator")
    answers = [await api.client.post("/v1/tenants", json=tenant(f"o{i}"), headers=operator) for i in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 403]
    assert "LANDLORD_MAX_TENANTS " in answers[-1].json()["detail"]


async def test_a_deleted_tenant_makes_room(api: Api) -> None:
    for number in range(3):
        await api.create(f"t{number}")
    await api.client.delete("/v1/tenants/t0")
    assert (await api.create("t3")).status_code == 403, "it is not gone yet"
    await api.end("t0", status=Status.DELETED)
    assert (await api.create("t0")).status_code == 202
    await api.client.delete("/v1/tenants/t1?force=true")
    assert (await api.create("t1")).status_code == 202
    assert (await api.create("t3")).status_code == 403
    assert sorted((await counted(api)).values()) == [3, 3]


async def test_many_at_once_at_two_replicas_are_counted_one_by_one(api: Api, database_url: str) -> None:
    async with api_on(database_url, **LIMITS) as other:
        replicas = (api, other)
        answers = await asyncio.gather(*(replicas[number % 2].create(f"t{number}") for number in range(20)))
    assert sorted(answer.status_code for answer in answers) == [202] * 3 + [403] * 17
    assert await api.count("tenants WHERE deleted_at IS NULL") == 3


async def test_what_is_refused_otherwise_counts_nothing(api: Api) -> None:
    await api.create("acme")
    assert (await api.create("acme")).status_code == 409
    assert (await api.client.post("/v1/tenants?dry_run=true", json=tenant("other"))).status_code == 200
    assert sorted((await counted(api)).values()) == [1, 1]


async def test_rows_that_come_and_go_in_masses_are_counted(api: Api) -> None:
    """As a copy of a database brings them, and as old records go."""
    await api.create("acme")
    copied = "spec, status, current_execution, created_by"
    for name, deleted in (("live", "NULL"), ("gone", "clock_timestamp()")):
        async with api.database.begin() as connection:
            await connection.execute(
                text(
                    f"INSERT INTO tenants (id, name, deleted_at, {copied}) "
                    f"SELECT gen_random_uuid(), '{name}' || number, {deleted}, {copied} "
                    "FROM tenants, generate_series(1, 1000) AS number WHERE name = 'acme'"
                )
            )
    assert set((await counted(api)).values()) == {1001}
    async with api.database.begin() as connection:
        await connection.execute(tables.tenants.delete().where(tables.tenants.c.name != "acme"))
    assert set((await counted(api)).values()) == {1}


async def test_a_token_has_room_for_so_many_keys(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_room, "FULL_SECONDS", 0.0)
    async with api_on(database_url, max_keys_per_token=3) as api:

        async def keyed(number: int, **more: str) -> httpx.Response:
            headers = {"Idempotency-Key": f"k{number}", **more}
            return await api.client.post("/v1/tenants", json=tenant(f"t{number}"), headers=headers)

        assert [(await keyed(number)).status_code for number in range(3)] == [202] * 3
        refused = await keyed(3)
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        assert "LANDLORD_MAX_KEYS_PER_TOKEN" in refused.json()["detail"]
        assert int(refused.headers["Retry-After"]) > 0
        assert await api.count("tenants") == await api.count("idempotency_keys") == 3

        again = await keyed(2)
        assert (again.status_code, again.headers["Idempotency-Replayed"]) == (202, "true")
        assert (await api.create("t3")).status_code == 202, "without a key"
        assert (await keyed(4, **await api.bearer("operator"))).status_code == 202, "another token"

        async with api.database.begin() as connection:
            old = "UPDATE idempotency_keys SET created_at = created_at - interval '25 hours' WHERE key = 'k0'"
            await connection.execute(text(old))
        assert await idempotency.prune(api.database) == 1
        assert [(await keyed(number)).status_code for number in (5, 6)] == [202, 429]


async def test_a_replica_sees_the_keys_that_others_stored(database_url: str) -> None:
    async with api_on(database_url, max_keys_per_token=1) as one, api_on(database_url, max_keys_per_token=1) as other:
        answers = [
            await api.client.post("/v1/tenants", json=tenant(name), headers={"Idempotency-Key": name})
            for api, name in ((one, "a"), (other, "b"), (one, "c"))
        ]
    assert [answer.status_code for answer in answers] == [202, 429, 429]
