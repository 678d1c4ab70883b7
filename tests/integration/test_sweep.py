"""The sweep against real rows: leftovers and orphans, drift nominated once, owners that fell silent."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.runtime import Runtime
from actors.supervisor.nominations import Nominations
from actors.supervisor.probes import RestingProbes
from actors.supervisor.queue import Priority
from actors.supervisor.silent import PATIENCE_SECONDS, SilentOwners
from actors.supervisor.sweep import Sweep
from controlplane.errors import HeldByOthers, Unavailable
from controlplane.model import Action, EventType, ExecutionState, Status, Tenant, TriggerSource
from controlplane.persistence import bootstrap, events, executions, fleet, intents, leases, pauses, tables, tenants
from controlplane.persistence.expressions import ago
from controlplane.persistence.fleet import TenantKey
from controlplane.persistence.owned_tenant import OwnedTenant
from controlplane.persistence.transaction import transaction
from controlplane.ports import OWNER_LABEL, Origin
from providers.compute.fake import FakeCloud, FakeCompute
from providers.kit.threads import Threads
from tests.integration.owner import World, spec


@pytest_asyncio.fixture
async def world(database: AsyncEngine, database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    yield World(database, database_url, tmp_path, FakeCloud(identity="cloud"))


class Net:
    """A sweep over the world, and whom it nominated."""

    def __init__(self, runtime: Runtime) -> None:
        self.nominated: list[tuple[str, Priority]] = []
        self.nominations = Nominations(self._nominate)
        self.sweep = Sweep(runtime, self.nominations)
        self.probes = RestingProbes(runtime.prober, self.nominations, lambda: self.sweep.resting, (), 30)

    def _nominate(self, tenant: TenantKey, priority: Priority) -> None:
        self.nominated.append((tenant.name, priority))

    async def looked(self) -> list[tuple[str, Priority]]:
        """Whom one round of looking nominates."""
        self.nominated.clear()
        await self.sweep.resources()
        await self.probes.quick()
        return list(self.nominated)


async def served(world: World) -> Tenant:
    """`acme`, ready and at rest, without an owner."""
    tenant = await world.create(spec("1"))
    async with world.owner(tenant):
        await world.settled(tenant, Status.READY, 1)
    return tenant


async def stray(world: World, **differing: object) -> str:
    """A running instance that bears our owner label; its id."""
    ours = await bootstrap.installation_id(world.database)
    named = Origin(ours, "nobody", uuid4(), 1, 1, "tenant-nobody-provision-1-0", "hash")
    labels = replace(named, **differing).labels()  # type: ignore[arg-type]
    made = await world.cloud.create(
        f"stray-{uuid4().hex[:8]}", labels, {"version": "1", "env": {}, "health": ["healthy"]}
    )
    assert made is not None
    await world.cloud.start(made)
    return made


async def trail(world: World) -> list[str]:
    return [event.type for event in await events.page(world.database, limit=100) if event.type.startswith("orphan")]


async def test_an_unchanged_finding_wakes_a_tenant_once(world: World) -> None:
    tenant = await served(world)
    async with world.net() as runtime:
        net = Net(runtime)
        assert await net.looked() == []
        (instance,) = world.cloud.instances()
        world.cloud.lose(instance.id)
        assert await net.looked() == [("acme", Priority.DRIFT)]
        assert await net.looked() == []
        net.nominations.not_woken(TenantKey(tenant.id, tenant.name))
        assert await net.looked() == [("acme", Priority.DRIFT)], "the wake-up came to nothing"
        async with world.owner(tenant):
            await world.until(tenant, lambda v: v.execution.run == 2 and v.tenant.status is Status.READY)
        (instance,) = world.cloud.instances()
        world.cloud.lose(instance.id)
        assert await net.looked() == [("acme", Priority.DRIFT)], "after an execution it is a new one"


async def test_a_list_that_fails_nominates_nothing(world: World) -> None:
    await served(world)
    async with world.net() as runtime:
        net = Net(runtime)
        (instance,) = world.cloud.instances()
        world.cloud.lose(instance.id)
        world.cloud.script("list", "fails")
        assert await net.looked() == []
        assert await net.looked() == [("acme", Priority.DRIFT)]


async def test_what_another_engine_lacks_is_not_drift(world: World) -> None:
    await served(world)
    world.cloud = FakeCloud(identity="another cloud")
    async with world.net() as runtime:
        assert await Net(runtime).looked() == []


async def test_what_another_engine_shows_is_never_acted_on(world: World) -> None:
    """Until a person says that the engine which held it is gone for good."""
    tenant = await served(world)
    cloud, world.cloud = world.cloud, FakeCloud(identity="another cloud")
    async with world.net() as runtime:
        serving = (await runtime.store.context(tenant.newest_execution)).execution
        with pytest.raises(Unavailable, match="another platform"):
            await runtime.upkeep.observe(serving, await runtime.upkeep.context(serving))
        with pytest.raises(Unavailable, match="another platform"):
            await runtime.upkeep.restore(serving)
    async with world.net(LANDLORD_LOST_PLATFORMS="cloud") as runtime:
        assert (await runtime.upkeep.observe(serving, await runtime.upkeep.context(serving)))[0] is None
        assert await Net(runtime).looked() == [("acme", Priority.DRIFT)]
    assert len(cloud.instances()) == 1
    assert not world.cloud.instances()


async def test_where_it_can_be_reached_now_wakes_its_tenant(world: World) -> None:
    tenant = await served(world)
    async with world.database.begin() as connection:
        elsewhere = {"endpoints": [{"name": "http", "url": "http://127.0.0.1:1", "port": 1}]}
        await connection.execute(update(tables.tenants).values(observed=elsewhere))
    async with world.net() as runtime:
        net = Net(runtime)
        assert await net.looked() == [("acme", Priority.DRIFT)]
        assert await net.looked() == []
        net.nominations.died("acme")
        assert await net.looked() == [("acme", Priority.DRIFT)], "who was to see to it has died"
        async with world.owner(tenant) as owner:
            owner.mailbox.mark_dirty(look=True)
            await world.until(tenant, lambda v: bool(v.tenant.observed.endpoints[0].port != 1))
        assert await net.looked() == []


async def test_a_degraded_tenant_that_seems_well_is_looked_at_by_its_actor(world: World) -> None:
    await served(world)
    async with world.database.begin() as connection:
        await connection.execute(update(tables.tenants).values(status=Status.DEGRADED))
    async with world.net() as runtime:
        assert await Net(runtime).looked() == [("acme", Priority.DRIFT)], "by a supervisor that never saw it unwell"


class Keeping(FakeCompute):
    """Remembers whose belongings were to be removed, and how many instances used them still."""

    def __init__(self, cloud: FakeCloud) -> None:
        super().__init__(cloud)
        self.forgotten: list[tuple[UUID, int]] = []

    async def forget(self, installation_id: str, tenant_id: UUID) -> None:
        self.forgotten.append((tenant_id, len(await self.list_owned(installation_id, tenant_id))))


async def test_a_leftover_goes_and_what_serves_stays(world: World) -> None:
    tenant = await served(world)
    (serving,) = world.cloud.instances()
    async with world.owner(tenant, max_attempts=1) as owner:
        world.cloud.script("destroy", "fails", "fails")
        await world.patch(spec("2", refuses="no"))
        owner.mailbox.mark_dirty()
        await world.until(tenant, lambda v: world.cloud.calls.get("destroy") == 1)
    keeping = Keeping(world.cloud)
    async with world.net() as runtime:
        net = Net(replace(runtime, compute={"fake": keeping}))
        await net.looked()
        assert len(world.cloud.instances()) == 2, "one that does not go is tried again by the next sweep"
        await net.looked()
    assert [left.id for left in world.cloud.instances()] == [serving.id]
    assert keeping.forgotten == [], "its tenant lives"


@pytest.mark.parametrize("scope", ["tenant", "provider:fake", "all"])
async def test_what_is_paused_keeps_its_leftovers_and_orphans(world: World, scope: str) -> None:
    tenant = await served(world)
    (serving,) = world.cloud.instances()
    made = await world.cloud.create(f"{serving.name}-r2", await _of_an_ended_run(world, tenant), serving.config)
    orphan = None if scope == "tenant" else await stray(world)
    async with world.net(LANDLORD_ORPHAN_GRACE_SECONDS="0.0001") as runtime:
        net = Net(runtime)
        await _set_paused(world, tenant, scope, True)
        await net.looked()
        await net.looked()
        assert {left.id for left in world.cloud.instances()} == {serving.id, made, orphan} - {None}
        await _set_paused(world, tenant, scope, False)
        await net.looked()
    assert [left.id for left in world.cloud.instances()] == [serving.id]


async def _of_an_ended_run(world: World, tenant: Tenant) -> dict[str, str]:
    """Labels of a run of the serving generation that failed: a leftover, wherever they are seen."""
    async with world.database.begin() as connection:
        failed = await executions.add(
            connection, tenant, Action.UPDATE, run=2, trigger_source=TriggerSource.SUPERVISOR, engine="embedded"
        )
        await executions.save(connection, failed, state=ExecutionState.FAILED)
    owner = await bootstrap.installation_id(world.database)
    return Origin(owner, tenant.name, tenant.id, failed.generation, 2, failed.id, failed.spec.hash).labels()


async def _set_paused(world: World, tenant: Tenant, scope: str, paused: bool) -> None:
    if scope != "tenant":
        await (pauses.pause_scope if paused else pauses.resume_scope)(world.database, scope, actor="test")
        return
    async with transaction(world.database, actor="test") as tx:
        locked = await tenants.lock(tx, tenant.id)
        assert locked is not None
        await (pauses.pause if paused else pauses.resume)(tx, locked)


async def test_a_platform_that_hangs_keeps_no_other_from_being_swept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await served(world)
    (instance,) = world.cloud.instances()
    world.cloud.lose(instance.id)
    monkeypatch.setattr("actors.supervisor.sweep.PROVIDER_SECONDS", 3)
    async with world.net() as runtime:
        hanging = FakeCompute(FakeCloud(latency=3600))
        net = Net(replace(runtime, compute={"hanging": hanging, **runtime.compute}))
        assert await net.looked() == [("acme", Priority.DRIFT)]
        assert (net.sweep.breakers["hanging"].failures, net.sweep.breakers["fake"].failures) == (1, 0)


async def test_a_leftover_that_goes_slowly_is_left_to_the_next_sweep(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a service does that drains: the platform goes on with it, and the sweep with the others."""
    tenant = await served(world)
    (serving,) = world.cloud.instances()
    labels = await _of_an_ended_run(world, tenant)
    for name in ("slow", "fast"):
        await world.cloud.create(name, labels, serving.config)
    monkeypatch.setattr("actors.supervisor.removals.DESTROY_SECONDS", 0.05)
    async with world.net() as runtime:
        net = Net(runtime)
        fast = runtime.compute["fake"].destroy

        async def drains(resource_id: str) -> None:
            monkeypatch.setattr(runtime.compute["fake"], "destroy", fast)
            await asyncio.sleep(3600)

        monkeypatch.setattr(runtime.compute["fake"], "destroy", drains)
        assert await net.sweep.resources() == 1
        assert net.sweep.breakers["fake"].failures == 0
        assert await net.sweep.resources() == 1
    assert [left.id for left in world.cloud.instances()] == [serving.id]


async def test_a_removal_that_hangs_is_waited_for_once_and_is_shown(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its effect is in a thread, which nobody can cancel."""
    tenant = await served(world)
    (serving,) = world.cloud.instances()
    await world.cloud.create("stuck", await _of_an_ended_run(world, tenant), serving.config)
    monkeypatch.setattr("actors.supervisor.removals.DESTROY_SECONDS", 0.05)
    async with world.net() as runtime:
        net = Net(runtime)
        go, threads, calls = threading.Event(), Threads("stuck", 2), []

        async def hangs(resource_id: str) -> None:
            calls.append(resource_id)
            await threads.run(go.wait, 60)

        monkeypatch.setattr(runtime.compute["fake"], "destroy", hangs)
        for _ in range(3):
            assert await asyncio.wait_for(net.sweep.resources(), 20) == 0
        assert len(calls) == 1
        ((effect, since),) = net.sweep.effects.items()
        assert effect == "removal of fake stuck"
        assert since.startswith("20")
        go.set()
        async with asyncio.timeout(20):
            while net.sweep.effects:  # noqa: ASYNC110  # its thread returns
                await asyncio.sleep(0.01)
        threads.close()


async def test_what_bears_the_labels_of_another_spec_is_replaced(world: World) -> None:
    tenant = await served(world)
    (instance,) = world.cloud.instances()
    world.cloud.lose(instance.id)
    labels = {key: "another" if key.endswith("spec-hash") else value for key, value in instance.labels.items()}
    changed = await world.cloud.create(instance.name, labels, instance.config)
    assert changed is not None
    await world.cloud.start(changed)
    async with world.net() as runtime:
        net = Net(runtime)
        assert await net.looked() == [("acme", Priority.DRIFT)]
        assert await net.looked() == []
        async with world.owner(tenant):
            await world.until(tenant, lambda v: v.execution.run == 2 and v.tenant.status is Status.READY)
        assert await net.looked() == []
    (now,) = world.cloud.instances()
    assert now.id != changed


async def test_a_leftover_of_a_deleted_tenant_goes_with_what_it_brought(world: World) -> None:
    """Its step died between the create and the gate, long after the delete: nobody else will look."""
    tenant = await served(world)
    (made,) = world.cloud.instances()
    async with world.owner(tenant):
        await world.delete()
        await world.settled(tenant, Status.DELETED)
    await world.cloud.create(made.name, made.labels, made.config)
    keeping = Keeping(world.cloud)
    async with world.net() as runtime:
        net = Net(replace(runtime, compute={"fake": keeping}))
        await net.looked()
    assert (world.cloud.instances(), keeping.forgotten) == ((), [(tenant.id, 0)])


class Listing(Keeping):
    """Says that these tenants have belongings."""

    def __init__(self, cloud: FakeCloud, *tenant_ids: UUID) -> None:
        super().__init__(cloud)
        self.tenant_ids = tenant_ids

    async def tenants_with_belongings(self, installation_id: str) -> Sequence[UUID]:
        return self.tenant_ids


async def test_belongings_of_a_deleted_tenant_go_and_no_others(world: World) -> None:
    """A step slept over the delete, made a volume, and died before its container: no resource would show it."""
    gone = await served(world)
    async with world.owner(gone):
        await world.delete()
        await world.settled(gone, Status.DELETED)
    again = await served(world)
    listing = Listing(world.cloud, gone.id, again.id, uuid4())
    async with world.net() as runtime:
        net = Net(replace(runtime, compute={"fake": listing}))
        await pauses.pause_scope(world.database, "provider:fake", actor="test")
        await net.looked()
        assert listing.forgotten == [], "nothing is removed where all is paused"
        await pauses.resume_scope(world.database, "provider:fake", actor="test")
        await net.looked()
    assert [tenant_id for tenant_id, _ in listing.forgotten] == [gone.id]


class Held(Listing):
    """A container that is not ours uses a volume, until it is gone."""

    free = False

    async def forget(self, installation_id: str, tenant_id: UUID) -> None:
        await super().forget(installation_id, tenant_id)
        if not self.free:
            raise HeldByOthers("not removed: volume landlord-acme-data, which backup uses")


async def test_what_a_stranger_holds_of_a_deleted_tenant_is_told_once_and_removed_later(world: World) -> None:
    gone = await served(world)
    async with world.owner(gone):
        await world.delete()
        await world.settled(gone, Status.DELETED)
    held = Held(world.cloud, gone.id)
    async with world.net() as runtime:
        net = Net(replace(runtime, compute={"fake": held}))
        for _ in range(2):
            await net.looked()
        held.free = True
        await net.looked()
    assert len(held.forgotten) == 3
    found = [event for event in (await events.page(world.database, limit=500)) if event.type == "belongings.held"]
    assert [event.message for event in found] == ["not removed: volume landlord-acme-data, which backup uses"]
    assert found[0].data == {"provider": "fake", "tenant_id": str(gone.id)}


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


async def test_what_bears_our_owner_label_alone_is_an_orphan_and_goes_as_one(world: World) -> None:
    await served(world)
    (serving,) = world.cloud.instances()
    ours = await bootstrap.installation_id(world.database)
    made = await world.cloud.create("of-nobody", {OWNER_LABEL: ours}, {"version": "1", "env": {}, "health": []})
    async with world.net(LANDLORD_ORPHAN_GRACE_SECONDS="0.0001") as runtime:
        net = Net(runtime)
        await net.looked()
        assert net.sweep.orphans == [made]
        await net.looked()
    assert [left.id for left in world.cloud.instances()] == [serving.id]
    assert await trail(world) == [EventType.ORPHAN_REMOVED, EventType.ORPHAN_FOUND], "newest first"


async def test_a_part_that_its_platform_brings_back_wakes_once_and_again_when_it_is_down(world: World) -> None:
    await served(world)
    (instance,) = world.cloud.instances()
    async with world.net() as runtime:
        net = Net(runtime)
        for health in ("recovering", "unhealthy"):
            world.cloud.alter(instance.id, health=[health])
            net.probes._asked.clear()
            assert await net.looked() == [("acme", Priority.DRIFT)]
            net.probes._asked.clear()
            assert await net.looked() == []


async def test_an_orphan_is_reported_and_stays(world: World, caplog: pytest.LogCaptureFixture) -> None:
    made = await stray(world)
    async with world.net() as runtime:
        net = Net(runtime)
        with caplog.at_level(logging.WARNING):
            await net.looked()
            await net.looked()
    assert await trail(world) == [EventType.ORPHAN_FOUND]
    assert [found.id for found in world.cloud.instances()] == [made]


async def test_an_orphan_is_removed_by_policy_after_its_grace(world: World) -> None:
    theirs = await stray(world, installation_id="somebody else")
    await stray(world)
    async with world.net(LANDLORD_ORPHAN_GRACE_SECONDS="0.0001") as runtime:
        net = Net(runtime)
        await net.looked()
        await net.looked()
    assert await trail(world) == [EventType.ORPHAN_REMOVED, EventType.ORPHAN_FOUND], "newest first"
    assert [found.id for found in world.cloud.instances()] == [theirs]


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
