"""What a sweep knows of a large fleet at rest: as much as all the rows say, for the price of what has changed."""

from dataclasses import astuple
from uuid import UUID

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.supervisor import census as module
from actors.supervisor.census import WHOLE_SECONDS, Census
from controlplane.model import Status, Tenant
from controlplane.persistence import intents, pauses, tables, tenants
from controlplane.persistence.resting import Serving, resting
from controlplane.persistence.transaction import transaction
from tests.fleet import insert_fleet, serve_fleet
from tests.integration.owner import delete, patch, spec
from tests.statements import statements

FLEET = 12


class Counting:
    """A census of a fleet that counts as large, and the number of its statements."""

    def __init__(self, database: AsyncEngine) -> None:
        self.now = 0.0
        self.census = Census(database, "fake", clock=lambda: self.now)
        self._database = database

    async def look(self) -> int:
        """How many questions of ours it took; the census agrees with the rows afterwards."""
        async with statements(self._database) as seen:
            await self.census.look()
        assert by_tenant(self.census) == by_tenant(await resting(self._database, "fake"))
        return sum("FROM tenants" in one or "FROM events" in one for one in seen)


def by_tenant(found: "list[Serving] | Census") -> dict[UUID, tuple[object, ...]]:
    return {serving.tenant.id: astuple(serving) for serving in found}


@pytest.fixture(autouse=True)
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WHOLE", FLEET // 2)


async def fleet(database: AsyncEngine) -> Counting:
    await insert_fleet(database, FLEET, spec("1"))
    await serve_fleet(database, "cloud")
    return Counting(database)


async def named(database: AsyncEngine, name: str) -> Tenant:
    view = await tenants.get(database, name)
    assert view is not None
    return view.tenant


async def set_paused(database: AsyncEngine, name: str, paused: bool) -> None:
    async with transaction(database, actor="test") as tx:
        tenant = await tenants.lock_by_name(tx, name)
        assert tenant is not None
        await (pauses.pause if paused else pauses.resume)(tx, tenant)


async def test_a_fleet_at_rest_is_read_once_and_then_what_has_changed(database: AsyncEngine) -> None:
    counting = await fleet(database)
    await counting.look()
    assert len(list(counting.census)) == FLEET
    assert await counting.look() == 1, "nothing has changed"
    await set_paused(database, "t-000001", True)
    await patch(database, "t-000002", spec("2"))
    await delete(database, "t-000003")
    assert await counting.look() == 2, "the events, and those tenants"
    assert len(list(counting.census)) == FLEET - 3
    assert await counting.look() == 1
    await set_paused(database, "t-000001", False)
    assert await counting.look() == 2
    assert len(list(counting.census)) == FLEET - 2


async def test_a_pause_of_a_provider_is_a_change_of_all(database: AsyncEngine) -> None:
    counting = await fleet(database)
    await counting.look()
    await pauses.pause_scope(database, "provider:fake", actor="test")
    await counting.look()
    assert not list(counting.census)
    await pauses.resume_scope(database, "provider:fake", actor="test")
    await counting.look()
    assert len(list(counting.census)) == FLEET


async def test_more_changes_than_are_read_one_by_one(database: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHANGES", 3)
    counting = await fleet(database)
    await counting.look()
    for number in range(5):
        await set_paused(database, f"t-00000{number}", True)
    await counting.look()
    assert len(list(counting.census)) == FLEET - 5


async def test_a_change_without_an_event_is_found_by_looking_again_or_in_a_while(database: AsyncEngine) -> None:
    counting = await fleet(database)
    await counting.look()
    tenant = await named(database, "t-000001")
    moved = {"endpoints": [{"name": "http", "url": "http://127.0.0.1:1", "port": 1}]}
    async with database.begin() as connection:
        await connection.execute(update(tables.tenants).values(observed=moved, status=Status.DEGRADED))
    (serving,) = await counting.census.again([tenant.id])
    assert (serving.endpoints[0].port, serving.degraded) == (1, True)
    known = {one.tenant.name: one.degraded for one in counting.census}
    assert known == {f"t-{number:06}": number == 1 for number in range(FLEET)}
    counting.now = WHOLE_SECONDS
    await counting.look()
    assert all(one.degraded for one in counting.census)


async def test_who_is_gone_for_good_is_not_kept(database: AsyncEngine) -> None:
    counting = await fleet(database)
    await counting.look()
    async with transaction(database, actor="test") as tx:
        tenant = await tenants.lock_by_name(tx, "t-000004")
        assert tenant is not None
        await intents.force_delete(tx, tenant)
    assert await counting.look() == 2
    assert tenant.id not in by_tenant(counting.census)
