"""Reading and locking tenants' rows while others write them."""

import asyncio
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.model import Status
from controlplane.persistence import fleet, tenants
from controlplane.persistence.transaction import transaction
from tests.integration.api_replica import Api, api_on

MANY = 40_000


async def test_who_locks_by_name_never_gets_a_live_tenant_without_its_lock(
    database_url: str, database: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for a tenant that is being deleted, and another of that name comes before its second look."""
    async with api_on(database_url) as api:
        await api.create()
        first = (await api.client.get("/v1/tenants/acme")).json()["id"]
        second = _replaced_between_two_looks(api, monkeypatch)
        async with transaction(database) as tx:
            found = await tenants.lock_by_name(tx, "acme")
            assert found is not None
            assert (found.id, found.status) == (second[0], Status.REQUESTED)
            assert str(found.id) != first
            async with database.connect() as other:
                free = text("SELECT id FROM tenants WHERE deleted_at IS NULL FOR UPDATE SKIP LOCKED")
                assert (await other.execute(free)).all() == []


def _replaced_between_two_looks(api: Api, monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    """Before the first look for the live one answers, it is deleted and its name taken again."""
    second: list[UUID] = []
    begun: list[bool] = []
    take = tenants._take

    async def taking(tx: object, query: object, key: object) -> object:
        if not begun:
            begun.append(True)
            await api.client.delete("/v1/tenants/acme?force=true")
            found = await take(tx, query, key)  # type: ignore[arg-type]
            second.append(UUID((await api.create()).json()["id"]))
            return found
        return await take(tx, query, key)  # type: ignore[arg-type]

    monkeypatch.setattr(tenants, "_take", taking)
    return second


async def test_facts_of_more_resources_than_a_statement_has_parameters(database_url: str) -> None:
    async with api_on(database_url) as api:
        created = (await api.create()).json()
        known = await fleet.facts(
            api.database, {created["workflow_execution_id"], *(f"tenant-x-provision-1-{n:08}" for n in range(MANY))}
        )
        assert list(known) == [created["workflow_execution_id"]]
        deleted = await fleet.deleted_among(api.database, [UUID(created["id"]), *(uuid4() for _ in range(MANY))])
        assert deleted == []
        await api.client.delete("/v1/tenants/acme?force=true")
        deleted = await fleet.deleted_among(api.database, [UUID(created["id"]), *(uuid4() for _ in range(MANY))])
        assert deleted == [UUID(created["id"])]
        assert await asyncio.gather(fleet.facts(api.database, []), fleet.deleted_among(api.database, [])) == [{}, []]
