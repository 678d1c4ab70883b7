"""`health.drain_seconds`: after the switch what was replaced runs on for its time, whoever owns the tenant by then, and
is removed after it. On real rows under the real owner and the embedded engine."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from controlplane.model import ConditionType, ExecutionState, Status, Tenant, TenantSpec
from controlplane.persistence import events, executions, fleet
from controlplane.persistence.tenants import TenantView
from tests.integration.owner import World, spec

HOUR = 3600.0
BOTH = [(1, 1, "running"), (2, 1, "running")]


def drained(version: str, seconds: float = HOUR, **given: Any) -> TenantSpec:
    return spec(version, probe={"drain_seconds": seconds}, **given)


def reason(view: TenantView) -> str | None:
    return next((c.reason for c in view.tenant.conditions if c.type == ConditionType.WAITING), None)


async def updated(world: World) -> tuple[Tenant, TenantView]:
    """Version 2 serves, and version 1 has an hour left."""
    tenant = await world.create(drained("1"))
    async with world.owner(tenant) as owner:
        view = await world.settled(tenant, Status.READY, 1)
        assert reason(view) is None, "a first version replaces nothing"
        await world.patch(drained("2"))
        owner.mailbox.mark_dirty()
        view = await world.until(tenant, lambda v: reason(v) == "Draining" and v.execution.next_attempt_at is not None)
    return tenant, view


async def over(world: World) -> None:
    """The hour passes."""
    async with world.database.begin() as connection:
        await connection.execute(text("UPDATE executions SET drains_until = drains_until - interval '2 hours'"))


async def test_what_was_replaced_runs_on_beside_what_serves(world: World) -> None:
    _, view = await updated(world)
    assert await world.instances() == BOTH
    assert view.tenant.serving_execution == view.execution.id
    assert [e.url for e in view.tenant.observed.endpoints] == [
        f"http://{i.name}.fake.invalid" for i in world.cloud.instances() if i.config["version"] == "2"
    ]
    assert (view.tenant.status, view.tenant.observed_generation) == (Status.UPDATING, 1)
    found = await executions.get(world.database, view.execution.id)
    assert found is not None
    execution, steps = found
    assert execution.drains_until is not None
    assert execution.next_attempt_at is not None
    assert abs(execution.next_attempt_at - execution.drains_until) < timedelta(minutes=1)
    assert [step.attempts for step in steps] == [1] * 4, "a drain is no failed attempt"


async def test_it_ends_in_its_time_though_the_owner_has_died(world: World) -> None:
    tenant, _ = await updated(world)
    await over(world)
    async with world.owner(tenant):
        view = await world.settled(tenant, Status.READY, 2)
        assert reason(view) is None
    assert await world.instances() == [(2, 1, "running")]


async def test_a_short_one_ends_by_itself_after_its_time(world: World) -> None:
    tenant = await world.create(drained("1", 1))
    async with world.owner(tenant) as owner:
        await world.settled(tenant, Status.READY, 1)
        await world.patch(drained("2", 1))
        owner.mailbox.mark_dirty()
        await world.settled(tenant, Status.READY, 2)
    trail = await events.page(world.database, tenant_id=tenant.id, limit=500)
    switched = max(event.at for event in trail if event.type == "tenant.switched")
    ended = max(event.at for event in trail if event.type == "execution.succeeded")
    assert ended - switched >= timedelta(seconds=1)
    assert await world.instances() == [(2, 1, "running")]


async def test_an_owner_whose_place_is_wanted_leaves_and_nothing_is_lost(world: World) -> None:
    tenant, _ = await updated(world)
    async with world.owner(tenant) as owner:
        await world.until(tenant, lambda v: v.execution.state is ExecutionState.RUNNING and bool(v.execution.error))
        owner.hurry()
        assert await owner.left() == "passivated"
    assert await world.instances() == BOTH
    await over(world)
    async with world.owner(tenant):
        await world.settled(tenant, Status.READY, 2)
    assert await world.instances() == [(2, 1, "running")]


async def test_a_delete_does_not_wait(world: World) -> None:
    tenant, _ = await updated(world)
    async with world.owner(tenant) as owner:
        await world.delete()
        owner.mailbox.mark_dirty()
        await world.settled(tenant, Status.DELETED)
    assert await world.instances() == []


async def test_a_newer_spec_begins_at_once_and_cuts_no_drain_short(world: World) -> None:
    tenant, _ = await updated(world)
    async with world.owner(tenant) as owner:
        await world.patch(drained("3"))
        owner.mailbox.mark_dirty()
        await world.until(tenant, lambda v: v.tenant.serving_execution == v.execution.id and reason(v) == "Draining")
        assert await world.instances() == [*BOTH, (3, 1, "running")]
        facts = await fleet.facts(world.database, {i.labels["landlord.execution"] for i in world.cloud.instances()})
        assert not any(fact.sweepable for fact in facts.values()), "nor does the sweep"
        await over(world)
        facts = await fleet.facts(world.database, {i.labels["landlord.execution"] for i in world.cloud.instances()})
        assert sum(fact.sweepable for fact in facts.values()) == 2
    async with world.owner(tenant):
        await world.settled(tenant, Status.READY, 3)
    assert await world.instances() == [(3, 1, "running")]


async def test_after_a_newer_spec_that_failed_it_ends_in_its_time_too(world: World) -> None:
    tenant, _ = await updated(world)
    async with world.owner(tenant) as owner:
        await world.patch(drained("3", refuses="no room"))
        owner.mailbox.mark_dirty()
        view = await world.settled(tenant, Status.FAILED)
        await world.cleaned(view.execution.id)
        assert await world.instances() == BOTH
    await over(world)
    async with world.owner(tenant):
        await world.until(tenant, lambda v: len(world.cloud.instances()) == 1)
    assert await world.instances() == [(2, 1, "running")]


@pytest.mark.parametrize("after", ["a heal", "it stopped"])
async def test_what_serves_nobody_is_not_waited_for(world: World, after: str) -> None:
    tenant = await world.create(drained("1"))
    async with world.owner(tenant) as owner:
        await world.settled(tenant, Status.READY, 1)
        (instance,) = world.cloud.instances()
        if after == "a heal":
            world.cloud.alter(instance.id, health=["unhealthy"])
            await world.until(tenant, lambda v: v.tenant.status is Status.READY and v.execution.run == 2)
            trail = await events.page(world.database, tenant_id=tenant.id, limit=100)
            assert Status.DEGRADED in [event.status for event in trail]
            assert await world.instances() == [(1, 2, "running")]
            return
        async with world.held("wait_healthy.after_switch"):
            await world.patch(drained("2"))
            owner.mailbox.mark_dirty()
            await world.until(tenant, lambda v: v.tenant.serving_execution == v.execution.id)
            world.cloud.crash(instance.id, restarts=False)
        await world.settled(tenant, Status.READY, 2)
    assert await world.instances() == [(2, 1, "running")]
