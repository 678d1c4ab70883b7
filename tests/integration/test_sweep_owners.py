"""Owners that fell silent, and tenants for which one is due, against real rows."""

from sqlalchemy import update

from actors.supervisor.queue import Priority
from actors.supervisor.silent import PATIENCE_SECONDS, SilentOwners
from controlplane.model import ExecutionState, Status
from controlplane.persistence import fleet, intents, leases, pauses, tables, tenants
from controlplane.persistence.expressions import ago
from controlplane.persistence.owned_tenant import OwnedTenant
from controlplane.persistence.transaction import transaction
from tests.integration.owner import World, spec
from tests.integration.sweeping import Net, served


async def test_what_an_owner_left_that_died_before_its_clean_up_is_due(world: World) -> None:
    """A placement alone: nothing runs, so no list of resources would ever show it."""
    tenant = await world.create(spec("1"))
    fence = await leases.acquire(world.database, tenant.id, cluster_id="test", actor_id="a")
    assert fence is not None
    owned = OwnedTenant(world.database, tenant.id, fence, owner="test")
    async with world.net() as runtime:
        net, store, id = Net(runtime), runtime.store, tenant.newest_execution
        await owned.promote(id)
        assert await store.intend(await store.context(id), "fake", "cloud", "landlord-acme")
        await owned.finish(id, ExecutionState.FAILED, "no")
        assert await net.sweep.due() == 1
        assert net.nominated == [("acme", Priority.BACKLOG)]
        async with world.owner(tenant):
            await world.settled(tenant, Status.FAILED)
            await world.cleaned(id)
        assert await net.sweep.due() == 0


async def test_an_owner_that_lives_and_says_nothing_is_ended(world: World) -> None:
    tenant = await served(world)
    assert await leases.acquire(world.database, tenant.id, cluster_id="test", actor_id="a") is not None
    now, ended = [0.0], []
    owners = SilentOwners(world.database, "test", {"acme", "other"}, ended.append, clock=lambda: now[0])
    assert await owners.look() == 0
    async with world.database.begin() as connection:
        await connection.execute(update(tables.tenants).values(lease_expires_at=ago(60)))
    assert await owners.look() == 0, "it may be the database that was away"
    now[0] = PATIENCE_SECONDS
    assert await owners.look() == 1
    assert ended == ["acme"]


async def test_an_owner_that_renews_after_an_outage_stays(world: World) -> None:
    tenant = await served(world)
    fence = await leases.acquire(world.database, tenant.id, cluster_id="test", actor_id="a")
    assert fence is not None
    now, ended = [0.0], []
    owners = SilentOwners(world.database, "test", {"acme"}, ended.append, clock=lambda: now[0])
    async with world.database.begin() as connection:
        await connection.execute(update(tables.tenants).values(lease_expires_at=ago(60)))
    assert await owners.look() == 0
    assert await leases.renew(world.database, tenant.id, fence)
    now[0] = PATIENCE_SECONDS
    assert await owners.look() == 0
    assert ended == []


async def test_a_paused_tenant_is_due_only_to_cancel_what_it_queued(world: World) -> None:
    tenant = await world.create(spec("1"))
    async with transaction(world.database, actor="test") as tx:
        locked = await tenants.lock(tx, tenant.id)
        assert locked is not None
        await pauses.pause(tx, locked)
    assert await fleet.due(world.database, "test") == []
    async with transaction(world.database, actor="test") as tx:
        locked = await tenants.lock(tx, tenant.id)
        assert locked is not None
        await intents.cancel(tx, locked, await intents.newest_execution(tx, locked))
    assert [due.key.name for due in await fleet.due(world.database, "test")] == ["acme"]
