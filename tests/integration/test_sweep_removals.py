"""What the sweep removes, against real rows: leftovers, orphans, and belongings of deleted tenants."""

import asyncio
import logging
import threading
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from controlplane.errors import HeldByOthers
from controlplane.model import Action, EventType, ExecutionState, Status, Tenant, TriggerSource
from controlplane.persistence import bootstrap, events, executions, pauses, tenants
from controlplane.persistence.transaction import transaction
from controlplane.ports import OWNER_LABEL, Origin
from providers.compute.fake import FakeCloud, FakeCompute
from providers.kit.threads import Threads
from tests.integration.owner import World, spec
from tests.integration.sweeping import Net, served


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
