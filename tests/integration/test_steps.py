"""Steps against real rows, without an owner's runner: what they leave when the rest of the world goes on."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.clock import SystemClock
from controlplane.errors import HeldByOthers, InvalidConfig, LandlordError, NotCurrent, Retryable
from controlplane.failpoints import Failpoints
from controlplane.model import ComputeSpec, ExecutionState, Status, StepName, TenantSpec
from controlplane.persistence import leases, tenants
from controlplane.persistence.execution_store import PostgresExecutionStore
from controlplane.persistence.owned_tenant import OwnedTenant
from controlplane.ports import DesiredResource, ExecutionGate, KeepsBelongings, Resource
from controlplane.steps.platforms import Platforms
from controlplane.steps.run import Steps
from providers.compute.fake import FakeCloud, FakeCompute
from tests.integration.owner import create, delete

SPEC = TenantSpec(compute=ComputeSpec(provider="fake"))
ALONE: Any = None
"""Signals and prober, which these steps do not ask."""


class SlowPull(FakeCompute):
    """Pulls before it creates, as Docker does; volumes and network come between the two."""

    def __init__(self, cloud: FakeCloud) -> None:
        super().__init__(cloud)
        self.pulling, self.pulled = asyncio.Event(), asyncio.Event()
        self.then: LandlordError | None = None
        self.belongings: set[UUID] = set()

    async def create(self, desired: DesiredResource) -> str | None:
        self.pulling.set()
        await self.pulled.wait()
        self.belongings.add(desired.origin.tenant_id)
        if self.then is not None:
            raise self.then
        return await super().create(desired)

    async def forget(self, installation_id: str, tenant_id: UUID) -> None:
        assert not self._cloud.instances(), "something still uses it"  # type: ignore[attr-defined]
        self.belongings.discard(tenant_id)


class Pulling:
    """`acme` is provisioned, and its step stands in the middle of the pull."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database
        self.cloud = FakeCloud()
        self.compute = SlowPull(self.cloud)
        store = PostgresExecutionStore(database)
        platforms = Platforms(store, {"fake": self.compute})
        self.steps = Steps(store, platforms, ALONE, SystemClock(), Failpoints(None))

    async def begin(self) -> None:
        self.tenant, self.provision = await create(self._database, "acme", SPEC)
        fence = await leases.acquire(self._database, self.tenant.id, cluster_id="here", actor_id="a")
        assert fence is not None
        self.owner = OwnedTenant(self._database, self.tenant.id, fence, owner="test")
        await self.owner.promote(self.provision.id)
        self.step = asyncio.create_task(self.steps.run(self.provision.id, StepName.APPLY_COMPUTE, ALONE))
        await self.compute.pulling.wait()

    async def go_on(self, then: LandlordError | None = None) -> None:
        self.compute.then = then
        self.compute.pulled.set()
        with pytest.raises(NotCurrent if then is None else type(then)):
            await self.step


@pytest_asyncio.fixture
async def pulling(database: AsyncEngine) -> Pulling:
    pulling = Pulling(database)
    await pulling.begin()
    return pulling


@pytest.mark.parametrize("then", [None, InvalidConfig("there is no such network")])
async def test_a_pull_that_outlives_the_delete_leaves_nothing(
    database: AsyncEngine, pulling: Pulling, then: LandlordError | None
) -> None:
    assert isinstance(pulling.compute, KeepsBelongings)
    deletion = await delete(database, "acme")
    await pulling.owner.finish(pulling.provision.id, ExecutionState.SUPERSEDED)
    await pulling.owner.promote(deletion.id)
    for step in (StepName.DESTROY_COMPUTE, StepName.VERIFY_GONE):
        await pulling.steps.run(deletion.id, step, ALONE)
    await pulling.owner.finish(deletion.id, ExecutionState.SUCCEEDED)
    view = await tenants.get(database, str(pulling.tenant.id))
    assert view is not None
    assert view.tenant.status is Status.DELETED
    await pulling.go_on(then)
    assert (pulling.cloud.instances(), pulling.compute.belongings) == ((), set())


async def test_a_volume_that_a_stranger_uses_does_not_hold_up_a_delete(
    database: AsyncEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cloud = FakeCloud()
    compute = SlowPull(cloud)
    compute.pulled.set()
    store = PostgresExecutionStore(database)
    steps = Steps(store, Platforms(store, {"fake": compute}), ALONE, SystemClock(), Failpoints(None))
    tenant, provision = await create(database, "acme", SPEC)
    fence = await leases.acquire(database, tenant.id, cluster_id="here", actor_id="a")
    assert fence is not None
    owner = OwnedTenant(database, tenant.id, fence, owner="test")
    await owner.promote(provision.id)
    await steps.run(provision.id, StepName.APPLY_COMPUTE, ALONE)
    deletion = await delete(database, "acme")
    await owner.finish(provision.id, ExecutionState.SUPERSEDED)
    await owner.promote(deletion.id)

    async def held(installation_id: str, tenant_id: UUID) -> None:
        raise HeldByOthers("not removed: volume data, which backup uses")

    monkeypatch.setattr(compute, "forget", held)
    for step in (StepName.DESTROY_COMPUTE, StepName.VERIFY_GONE):
        await steps.run(deletion.id, step, ALONE)
    assert "volume data, which backup uses" in caplog.text
    await owner.finish(deletion.id, ExecutionState.SUCCEEDED)
    view = await tenants.get(database, str(tenant.id))
    assert view is not None
    assert view.tenant.status is Status.DELETED


class Silent(FakeCompute):
    """A platform that takes calls and answers none of them, from a provider without time-outs."""

    answers = False

    async def apply(self, desired: DesiredResource, gate: ExecutionGate) -> Resource:
        if not self.answers:
            await asyncio.Event().wait()
        return await super().apply(desired, gate)

    async def destroy(self, resource_id: str) -> None:
        if not self.answers:
            await asyncio.Event().wait()
        await super().destroy(resource_id)


async def test_a_platform_that_never_answers_costs_an_attempt_and_no_delete_waits_for_it(database: AsyncEngine) -> None:
    cloud = FakeCloud()
    compute = Silent(cloud)
    store = PostgresExecutionStore(database)
    platforms = Platforms(store, {"fake": compute})
    hasty, patient = (
        Steps(store, platforms, ALONE, SystemClock(), Failpoints(None), timeout_seconds=seconds)
        for seconds in (0.2, 600)
    )
    tenant, provision = await create(database, "acme", SPEC)
    fence = await leases.acquire(database, tenant.id, cluster_id="here", actor_id="a")
    assert fence is not None
    owner = OwnedTenant(database, tenant.id, fence, owner="test")
    await owner.promote(provision.id)
    with pytest.raises(Retryable, match=r"^apply_compute took longer than 0\.2 s"):
        await hasty.run(provision.id, StepName.APPLY_COMPUTE, ALONE)
    compute.answers = True
    await patient.run(provision.id, StepName.APPLY_COMPUTE, ALONE)
    assert len(cloud.instances()) == 1
    deletion = await delete(database, "acme")
    await owner.finish(provision.id, ExecutionState.SUPERSEDED)
    await owner.promote(deletion.id)
    compute.answers = False
    with pytest.raises(Retryable, match=r"^destroy_compute took longer than 0\.2 s"):
        await hasty.run(deletion.id, StepName.DESTROY_COMPUTE, ALONE)
    compute.answers = True
    await patient.run(deletion.id, StepName.DESTROY_COMPUTE, ALONE)
    assert not cloud.instances()


async def test_a_pull_that_outlives_its_execution_keeps_what_is_the_tenants(pulling: Pulling) -> None:
    await pulling.owner.finish(pulling.provision.id, ExecutionState.CANCELLED)
    await pulling.go_on()
    assert (pulling.cloud.instances(), pulling.compute.belongings) == ((), {pulling.tenant.id})
