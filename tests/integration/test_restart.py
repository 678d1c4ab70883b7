"""A restart in place: the same resource stops and starts, once, and the tenant is well again. On real rows under the
real owner and the embedded engine."""

import pytest

from controlplane.errors import Refused
from controlplane.model import Execution, ExecutionState, Status, StepName, StepState, Tenant
from controlplane.persistence import executions
from providers.compute.fake import Instance
from tests.integration.owner import Owner, World, spec


async def ready(world: World, tenant: Tenant) -> Instance:
    await world.settled(tenant, Status.READY, 1)
    (instance,) = world.cloud.instances()
    return instance


async def restart(world: World, owner: Owner) -> Execution:
    asked = await world.restart()
    owner.mailbox.mark_dirty()
    return asked


async def ended(world: World, tenant: Tenant, asked: Execution) -> Execution:
    await world.until(tenant, lambda v: v.execution.state.terminal)
    found = await executions.get(world.database, asked.id)
    assert found is not None
    assert found[0].state.terminal
    return found[0]


async def test_the_same_resource_starts_once_more(world: World) -> None:
    tenant = await world.create(spec("1"))
    async with world.owner(tenant) as owner:
        before = await ready(world, tenant)
        served = (await world.settled(tenant, Status.READY)).tenant.serving_execution
        asked = await restart(world, owner)
        assert asked.id.endswith("-r2")
        view = await world.until(tenant, lambda v: v.execution.state is ExecutionState.SUCCEEDED)
        assert view.execution.id == asked.id
        assert (view.tenant.status, view.tenant.generation, view.tenant.observed_generation) == (Status.READY, 1, 1)
        assert view.tenant.serving_execution == served
        (after,) = world.cloud.instances()
        assert (after.id, after.starts, after.state) == (before.id, before.starts + 1, before.state)
        found = await executions.get(world.database, asked.id)
        assert found is not None
        assert [step.state for step in found[1]] == [StepState.SUCCEEDED] * 4


async def test_asked_twice_it_is_one(world: World) -> None:
    tenant = await world.create(spec("1"))
    async with world.owner(tenant) as owner:
        before = await ready(world, tenant)
        async with world.held("restart.stopped"):
            asked = await restart(world, owner)
            await world.until(tenant, lambda v: v.execution.state is ExecutionState.RUNNING)
            assert (await world.restart()).id == asked.id
        await ended(world, tenant, asked)
        (after,) = world.cloud.instances()
        assert after.starts == before.starts + 1


async def test_the_next_owner_ends_what_its_predecessor_began(world: World) -> None:
    tenant = await world.create(spec("1"))
    async with world.owner(tenant) as owner:
        before = await ready(world, tenant)
        async with world.held("restart.stopped") as reached:
            asked = await restart(world, owner)
            await world.until(tenant, lambda v: reached.exists())
            await owner.die()
    assert world.cloud.instances()[0].state.value == "stopped"
    async with world.owner(tenant):
        assert (await ended(world, tenant, asked)).state is ExecutionState.SUCCEEDED
        await world.settled(tenant, Status.READY, 1)
    (after,) = world.cloud.instances()
    assert (after.id, after.state.value) == (before.id, "running")


async def test_a_cancel_in_its_middle_leaves_the_tenant_running(world: World) -> None:
    tenant = await world.create(spec("1"))
    async with world.owner(tenant) as owner:
        before = await ready(world, tenant)
        async with world.held("restart.stopped") as reached:
            asked = await restart(world, owner)
            await world.until(tenant, lambda v: reached.exists())
            await world.cancel(asked)
            owner.mailbox.mark_dirty()
            await world.until(tenant, lambda v: v.execution.state is ExecutionState.STOPPING)
        assert (await ended(world, tenant, asked)).state is ExecutionState.CANCELLED
        await world.until(tenant, lambda v: v.tenant.status is Status.READY)
        (after,) = world.cloud.instances()
        assert (after.id, after.state.value) == (before.id, "running")


async def test_what_is_gone_fails_and_is_healed(world: World) -> None:
    tenant = await world.create(spec("1"))
    async with world.owner(tenant):
        before = await ready(world, tenant)
    world.cloud.lose(before.id)
    asked = await world.restart()
    async with world.owner(tenant):
        view = await world.until(tenant, lambda v: v.tenant.status is Status.READY and v.execution.run == 3)
        assert await world.instances() == [(1, 3, "running")]
    found = await executions.get(world.database, asked.id)
    assert found is not None
    assert (found[0].state, "cannot be restarted in place" in (found[0].error or "")) == (ExecutionState.FAILED, True)
    assert next(step for step in found[1] if step.name is StepName.APPLY_COMPUTE).attempts == 1
    assert view.tenant.observed_generation == 1


async def test_what_serves_is_restarted_though_a_newer_version_failed(world: World) -> None:
    tenant = await world.create(spec("1"))
    async with world.owner(tenant) as owner:
        before = await ready(world, tenant)
        await world.patch(spec("2", refuses="no room"))
        owner.mailbox.mark_dirty()
        failed = await world.settled(tenant, Status.FAILED)
        asked = await restart(world, owner)
        assert (asked.generation, asked.run) == (1, 2)
        await world.until(tenant, lambda v: v.tenant.status is Status.FAILED and v.tenant.epoch > failed.tenant.epoch)
        await world.until(tenant, lambda v: world.cloud.instances()[0].starts == before.starts + 1)
        await world.until(tenant, lambda v: v.tenant.epoch >= failed.tenant.epoch + 3)
        view = await world.settled(tenant, Status.FAILED)
        assert view.execution.id == failed.execution.id
        assert "no room" in view.tenant.status_message
    found = await executions.get(world.database, asked.id)
    assert found is not None
    assert found[0].state is ExecutionState.SUCCEEDED


async def test_while_another_execution_is_under_way_that_one_is_the_answer(world: World) -> None:
    tenant = await world.create(spec("1"))
    first = await world.restart()
    assert (first.generation, first.run, first.in_place) == (1, 1, False)
    async with world.owner(tenant):
        await ready(world, tenant)
    patched = await world.patch(spec("2"))
    assert (await world.restart()).id == patched.id
    await world.delete()
    with pytest.raises(Refused, match="is being deleted"):
        await world.restart()


async def test_a_tenant_that_nothing_serves_cannot_be_restarted(world: World) -> None:
    tenant = await world.create(spec("1", refuses="no room"))
    async with world.owner(tenant):
        await world.settled(tenant, Status.FAILED)
    with pytest.raises(Refused, match="nothing of it runs that could be restarted"):
        await world.restart()
