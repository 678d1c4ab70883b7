"""What a tenant prints, a platform answers or an engine says never makes a write fail, whatever it consists of."""

from dataclasses import replace

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.errors import Retryable, Terminal
from controlplane.lifecycle.transitions import Cause
from controlplane.model import EventType, ExecutionState, Observed, Status, StepName, StopCause, SubState
from controlplane.persistence import events, executions, leases, tenants
from controlplane.persistence.execution_store import PostgresExecutionStore
from controlplane.persistence.owned_tenant import OwnedTenant
from controlplane.persistence.transaction import transaction
from controlplane.ports import ExecutionStatus, Resource
from providers.compute import fake
from tests.integration.owner import World, create, spec

POISON = "fatal\0error \ud800\x1b[31m" + "x" * 100_000
SHOWN = "fatalerror \ufffdxxx"


def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each resource tells the poison, as a tenant's last line of output comes in."""
    plain = fake._resource

    def told(found: fake.Instance) -> Resource | None:
        resource = plain(found)
        return None if resource is None else replace(resource, detail=POISON)

    monkeypatch.setattr(fake, "_resource", told)


async def test_a_tenant_that_fails_with_poison_is_degraded_and_recovers(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned(monkeypatch)
    tenant = await world.create(spec("1", heal="none", probe={"unhealthy_threshold": 1}))
    async with world.owner(tenant):
        await world.settled(tenant, Status.READY, 1)
        (instance,) = world.cloud.instances()
        world.cloud.alter(instance.id, health=["unhealthy"])
        view = await world.settled(tenant, Status.DEGRADED)
        world.cloud.alter(instance.id, health=["healthy"])
        await world.settled(tenant, Status.READY)
    assert view.tenant.status_message.startswith(SHOWN)
    conditions = {condition.type: condition.message for condition in view.tenant.conditions}
    assert conditions["Healthy"].startswith(SHOWN)
    told = [event.message for event in await events.page(world.database, tenant_id=tenant.id, limit=50)]
    assert any(message.startswith(SHOWN) for message in told)
    assert max(map(len, told)) <= 4000


@pytest.mark.parametrize("error", [Retryable, Terminal])
async def test_a_step_that_fails_with_poison_fails_with_what_can_be_read(
    world: World, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    async def refuse(*_: object) -> None:
        raise error(POISON)

    monkeypatch.setattr(fake.FakeCloud, "create", refuse)
    tenant = await world.create(spec("1"))
    async with world.owner(tenant):
        view = await world.settled(tenant, Status.FAILED)
    assert view.tenant.status_message.startswith(SHOWN)
    assert view.execution.error is not None
    assert len(view.execution.error) <= 4000


async def test_the_net_under_the_door(database: AsyncEngine) -> None:
    """Each write of a text, by whatever way it came past the door."""
    tenant, execution = await create(database, "acme", spec("1"))
    fence = await leases.acquire(database, tenant.id, cluster_id="c", actor_id="a")
    assert fence is not None
    owned, store = OwnedTenant(database, tenant.id, fence, "c/a\0"), PostgresExecutionStore(database, actor=POISON)
    assert await owned.promote(execution.id)
    assert await owned.start_failed(execution.id, POISON, execution.created_at)
    assert await owned.running(execution.id, POISON)
    status = ExecutionStatus(SubState.BACKING_OFF)
    object.__setattr__(status, "error", POISON)
    assert await owned.progressed(execution.id, status)
    assert await store.intend(await store.context(execution.id), "fake", POISON, POISON)
    await store.placed(execution.id, POISON)
    await store.step_started(execution.id, StepName.PLAN)
    await store.step_failed(execution.id, StepName.PLAN, POISON, None)
    assert await store.switch(execution.id, Observed(resources={"x\0": POISON}))
    async with transaction(database) as tx:
        locked = await tenants.lock(tx, tenant.id)
        assert locked is not None
        await tenants.save(tx.connection, locked, serving_execution=None)
    assert await owned.stop(execution.id, StopCause.DEADLINE, POISON)
    assert await owned.finish(execution.id, ExecutionState.FAILED, POISON) is ExecutionState.FAILED
    async with transaction(database, actor=POISON, request_id="\0") as tx:
        tx.record(EventType.ORPHAN_FOUND, message=POISON, data={"a\0": ["\ud800", POISON]})
    rows = await owned.load()
    assert rows.tenant.status_message.startswith(SHOWN)
    found = await executions.get(database, execution.id)
    assert found is not None
    assert [step.error is not None and step.error.startswith(SHOWN) for step in found[1]] == [True]
    [last, *_] = await events.page(database, limit=1)
    assert last.data["a\ufffd"][0] == "\ufffd"
    async with transaction(database) as tx:
        locked = await tenants.lock(tx, tenant.id)
        assert locked is not None
        serving = await tenants.save(tx.connection, locked, status=Status.READY, serving_execution=execution.id)
    assert await owned.observed(serving.epoch, Observed(healthy=False), cause=Cause.UNHEALTHY, message=POISON)
    assert await owned.heal(serving.epoch, execution, POISON, default_workflow="embedded") is not None
