"""A turn that fails each time ends: its owner says so, leaves, and comes back later each time. Postgres itself refuses
the writes here, by a trigger."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.tenant import chores, runner
from controlplane.api.consistency import _misplaced
from controlplane.lifecycle.poison import LONGEST_PAUSE
from controlplane.model import Condition, Status, Tenant
from controlplane.persistence import fleet
from controlplane.persistence.owned_tenant import OwnedTenant
from controlplane.persistence.resting import resting
from controlplane.persistence.tenants import get
from controlplane.steps.upkeep import Upkeep
from providers.compute.fake import FakeCloud
from tests.integration.owner import World, spec


@pytest_asyncio.fixture
async def world(
    database: AsyncEngine, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    monkeypatch.setattr(runner, "STORE_PAUSE", 0.01)
    monkeypatch.setattr(chores, "FAILED_PAUSE", 0.01)
    yield World(database, database_url, tmp_path, FakeCloud(identity="cloud"))


@asynccontextmanager
async def refused(database: AsyncEngine, when: str) -> AsyncIterator[None]:
    """Postgres refuses each write of a tenant's row for which the condition holds."""
    async with database.begin() as connection:
        await connection.execute(
            text(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN RAISE EXCEPTION 'the secret is hunter2'; END $$"
            )
        )
        await connection.execute(
            text(f"CREATE TRIGGER refuse BEFORE UPDATE ON tenants FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION refuse()")
        )
    yield
    async with database.begin() as connection:
        await connection.execute(text("DROP FUNCTION refuse CASCADE"))


DEGRADED = "NEW.status = 'degraded' AND OLD.status <> 'degraded'"


async def ready(world: World) -> Tenant:
    tenant = await world.create(spec("1", probe={"unhealthy_threshold": 1}))
    async with world.owner(tenant):
        await world.settled(tenant, Status.READY, 1)
    return tenant


def lose(world: World) -> None:
    for instance in world.cloud.instances():
        world.cloud.alter(instance.id, health=["unhealthy"])


async def said(world: World, tenant: Tenant) -> Condition | None:
    view = await get(world.database, str(tenant.id))
    assert view is not None
    return next((one for one in view.tenant.conditions if one.type == "Reconciled"), None)


async def absence(world: World, tenant: Tenant) -> float | None:
    """Seconds until it is due again."""
    query = text("SELECT extract(epoch FROM wake_at - clock_timestamp())::float FROM tenants WHERE id = :id")
    async with world.database.connect() as connection:
        found = (await connection.execute(query, {"id": tenant.id})).scalar_one()
    return None if found is None else float(found)


async def test_it_says_so_leaves_and_comes_back_later_each_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = await ready(world)
    lose(world)
    pauses: list[float | None] = []
    give_up = OwnedTenant.give_up

    async def giving_up(self: OwnedTenant, at: str) -> float | None:
        pauses.append(await give_up(self, at))
        return pauses[-1]

    monkeypatch.setattr(OwnedTenant, "give_up", giving_up)
    async with refused(world.database, DEGRADED):
        for _ in range(3):
            async with world.owner(tenant) as owner:
                assert await owner.left() == "failing"
        view = await get(world.database, str(tenant.id))
        assert view is not None
        assert (view.tenant.lease_owner, view.tenant.lease_expires_at, view.tenant.departures) == (None, None, 3)
        condition = await said(world, tenant)
        assert condition is not None
        assert (condition.status, condition.reason) == ("false", "TurnFails")
        assert condition.message.startswith("MarkUnhealthy fails: an unexpected error: ")
        assert "hunter2" not in condition.message
        assert pauses == [5, 10, 20]
        assert 0 < (await absence(world, tenant) or 0) <= 20
        # Neither the rows nor a finding brings it back before its time.
        assert await fleet.due(world.database, "test") == []
        assert await resting(world.database) == []
    (fact,) = await fleet.tenant_facts(world.database)
    assert [found.kind for found in _misplaced([fact], set())] == ["turn_fails"]


async def test_what_succeeds_again_ends_it(world: World) -> None:
    tenant = await ready(world)
    lose(world)
    async with refused(world.database, DEGRADED), world.owner(tenant) as owner:
        assert await owner.left() == "failing"
    await passed(world, tenant)
    assert [due.key.id for due in await fleet.due(world.database, "test")] == [tenant.id]
    assert len(await resting(world.database)) == 1
    async with world.owner(tenant):
        view = await world.until(tenant, lambda v: v.tenant.departures == 0 and v.tenant.status == Status.READY)
        condition = await said(world, tenant)
        assert condition is not None
        assert (condition.status, condition.reason, condition.message) == ("true", "TurnSucceeds", "")
        assert view.tenant.failing_at is None
        await world.settled(tenant, Status.READY)
    assert await fleet.due(world.database, "test") == []


async def test_a_turn_that_passes_elsewhere_does_not_end_it(world: World) -> None:
    """The look and the load succeed each time; the pauses grow all the same."""
    tenant = await ready(world)
    lose(world)
    async with refused(world.database, DEGRADED):
        for departures in (1, 2):
            async with world.owner(tenant) as owner:
                assert await owner.left() == "failing"
            view = await get(world.database, str(tenant.id))
            assert view is not None
            assert view.tenant.departures == departures


async def test_it_leaves_even_if_it_cannot_say_why(world: World) -> None:
    tenant = await ready(world)
    lose(world)
    async with refused(world.database, f"({DEGRADED}) OR NEW.conditions::text LIKE '%TurnFails%'"):
        async with world.owner(tenant) as owner:
            assert await owner.left() == "failing"
        assert await said(world, tenant) is None
        assert await absence(world, tenant) is not None
        (fact,) = await fleet.tenant_facts(world.database)
        assert (fact.leased, fact.failing_at) == (False, "MarkUnhealthy")


async def test_it_leaves_soon_if_others_want_its_place(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = await ready(world)
    lose(world)
    failures: list[str] = []
    count = runner.Runner._fails
    monkeypatch.setattr(
        runner.Runner, "_fails", lambda self, at, error: (failures.append(at), count(self, at, error))[1]
    )
    async with refused(world.database, DEGRADED), world.owner(tenant) as owner:
        owner.hurry()
        assert await owner.left() == "failing"
    assert len(failures) <= 3


async def test_a_delete_gets_through_and_needs_no_waiting(world: World) -> None:
    tenant = await ready(world)
    lose(world)
    async with refused(world.database, DEGRADED):
        async with world.owner(tenant) as owner:
            assert await owner.left() == "failing"
        assert await absence(world, tenant) is not None
        await world.delete()
        assert await absence(world, tenant) is None
        assert [due.key.id for due in await fleet.due(world.database, "test")] == [tenant.id]
        async with world.owner(tenant) as owner:
            assert await owner.left() == "deleted"
    assert await world.instances() == []


async def test_a_chore_that_fails_unforeseen_ends_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = await ready(world)
    monkeypatch.setattr(chores, "LOOK_PAUSE", chores.LOOK_PAUSE * 0)

    async def broken(*_: object) -> None:
        raise KeyError("unforeseen")

    with monkeypatch.context() as patched:
        patched.setattr(Upkeep, "observe", broken)
        async with world.owner(tenant) as owner:
            assert await owner.left() == "failing"
    condition = await said(world, tenant)
    assert condition is not None
    assert condition.message == "look fails: an unexpected error: KeyError"
    async with world.owner(tenant):
        await world.until(tenant, lambda v: v.tenant.departures == 0)


async def test_rows_that_cannot_be_loaded_end_it_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = await ready(world)

    async def broken(*_: object) -> None:
        raise RuntimeError("a column is not there")

    with monkeypatch.context() as patched:
        patched.setattr("controlplane.persistence.snapshot.load", broken)
        async with world.owner(tenant) as owner:
            assert await owner.left() == "failing"
    async with world.owner(tenant):
        await world.until(tenant, lambda v: v.tenant.departures == 0)


async def test_a_database_that_is_away_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = await ready(world)
    asked: list[object] = []

    async def away(*_: object) -> None:
        asked.append(_)
        if len(asked) > 40:
            monkeypatch.undo()
        raise ConnectionRefusedError

    async with world.owner(tenant) as owner:
        monkeypatch.setattr(runner, "STORE_PAUSE", 0.01)
        monkeypatch.setattr("controlplane.persistence.snapshot.load", away)
        owner.mailbox.mark_dirty()
        await world.until(tenant, lambda _: len(asked) > 40)
        assert not owner._life.done()  # type: ignore[union-attr]
        view = await world.until(tenant, lambda v: v.tenant.lease_owner is not None)
    assert view.tenant.departures == 0


async def passed(world: World, tenant: Tenant) -> None:
    """Its absence is over."""
    async with world.database.begin() as connection:
        longest = f"interval '{LONGEST_PAUSE} s'"
        await connection.execute(
            text(f"UPDATE tenants SET wake_at = wake_at - {longest} WHERE id = :id"), {"id": tenant.id}
        )
