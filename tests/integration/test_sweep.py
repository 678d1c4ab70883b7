"""The sweep against real rows: drift is nominated once, and another platform's is none."""

from dataclasses import replace

import pytest
from sqlalchemy import update

from actors.supervisor.queue import Priority
from controlplane.errors import Unavailable
from controlplane.model import Status
from controlplane.persistence import tables
from controlplane.persistence.fleet import TenantKey
from providers.compute.fake import FakeCloud, FakeCompute
from tests.integration.owner import World
from tests.integration.sweeping import Net, served


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
