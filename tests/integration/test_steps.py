"""Steps against real rows, without an owner's runner: what they leave when the rest of the world goes on."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.clock import SystemClock
from controlplane.errors import HeldByOthers, InvalidConfig, LandlordError, NotCurrent, Retryable
from controlplane.failpoints import Failpoints
from controlplane.model import ComputeSpec, ExecutionState, Status, Step, StepName, StepState, TenantSpec
from controlplane.persistence import executions, fleet, leases, tenants
from controlplane.persistence.execution_store import PostgresExecutionStore
from controlplane.persistence.owned_tenant import OwnedTenant
from controlplane.ports import DesiredResource, ExecutionGate, KeepsBelongings, Origin, ProbeResult, Resource
from controlplane.steps.calls import LongCalls
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


async def test_an_attempt_that_waits_for_its_platform_says_so_until_it_ends(
    database: AsyncEngine, pulling: Pulling
) -> None:
    """Also when its time is over: the effect is still waited for."""
    store, id = PostgresExecutionStore(database), pulling.provision.id
    compute = Deaf(pulling.cloud)
    steps = Steps(
        store,
        Platforms(store, {"fake": compute}),
        ALONE,
        SystemClock(),
        Failpoints(None),
        watch=LongCalls(store, SystemClock(), after=0.1).told,
    )
    await store.step_started(id, StepName.APPLY_COMPUTE)
    began = datetime.now(UTC)
    attempt = asyncio.create_task(steps.run(id, StepName.APPLY_COMPUTE, ALONE))
    await asyncio.wait_for(compute.asked.wait(), 20)
    attempt.cancel()  # as when its time is over
    async with asyncio.timeout(20):
        while (step := await step_of(database, id)).in_call_to is None:  # noqa: ASYNC110  # a row is polled
            await asyncio.sleep(0.02)
    assert (step.in_call_to, step.state) == ("fake", StepState.RUNNING)
    assert step.in_call_since is not None
    assert began - timedelta(seconds=1) < step.in_call_since < datetime.now(UTC)
    (waiting,) = await fleet.steps_in_call(database, 0.0)
    assert (waiting.tenant, waiting.execution_id, waiting.step) == ("acme", id, "apply_compute")
    assert await fleet.steps_in_call(database, 60.0) == [], "not yet"
    compute.returned.set()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    await store.step_failed(id, StepName.APPLY_COMPUTE, "it took longer", datetime.now(UTC))
    step = await step_of(database, id)
    assert (step.in_call_to, step.in_call_since, step.error) == (None, None, "it took longer")
    await pulling.go_on(InvalidConfig("enough"))


async def test_the_next_owners_attempt_waits_from_its_own_beginning(database: AsyncEngine, pulling: Pulling) -> None:
    store, id = PostgresExecutionStore(database), pulling.provision.id
    await store.step_started(id, StepName.APPLY_COMPUTE)
    await store.step_in_call(id, StepName.APPLY_COMPUTE, "fake", datetime.now(UTC))
    assert (await step_of(database, id)).in_call_to == "fake"
    await store.step_started(id, StepName.APPLY_COMPUTE)
    assert (await step_of(database, id)).in_call_to is None
    await store.step_succeeded(id, StepName.APPLY_COMPUTE)
    await store.step_in_call(id, StepName.APPLY_COMPUTE, "fake", datetime.now(UTC))
    assert (await step_of(database, id)).in_call_to is None, "a step that has ended waits for nothing"
    await pulling.go_on(InvalidConfig("enough"))


async def test_a_stale_owner_notes_no_call_on_an_execution_that_was_superseded(
    database: AsyncEngine, pulling: Pulling
) -> None:
    store, id = PostgresExecutionStore(database), pulling.provision.id
    await store.step_started(id, StepName.APPLY_COMPUTE)
    await pulling.owner.finish(id, ExecutionState.SUPERSEDED)
    await store.step_in_call(id, StepName.APPLY_COMPUTE, "fake", datetime.now(UTC))
    assert (await step_of(database, id)).in_call_to is None
    await pulling.go_on(InvalidConfig("enough"))


class Slow(FakeCompute):
    """Answers looks once it may."""

    def __init__(self, cloud: FakeCloud) -> None:
        super().__init__(cloud)
        self.may_answer = asyncio.Event()

    async def observe(self, origin: Origin) -> Resource | None:
        await self.may_answer.wait()
        return await super().observe(origin)


class Unwell:
    """A prober whose tenant never comes up, and the signals of an engine that waits as long as the test does."""

    def __init__(self) -> None:
        self.probed = asyncio.Event()

    async def probe(self, *_: object) -> ProbeResult:
        self.probed.set()
        return ProbeResult(False, "GET / is 500")

    async def wait(self, seconds: float) -> None:
        await asyncio.Event().wait()

    def failing(self, detail: str | None) -> None:
        """Nobody asks."""


async def test_a_look_of_wait_healthy_says_for_whom_it_waits_and_then_no_more(
    database: AsyncEngine, pulling: Pulling
) -> None:
    """The step goes on after the call, with waits of its own."""
    store, id = PostgresExecutionStore(database), pulling.provision.id
    compute, unwell = Slow(pulling.cloud), Unwell()
    signals: Any = unwell
    steps = Steps(
        store,
        Platforms(store, {"fake": compute}),
        signals,
        SystemClock(),
        Failpoints(None),
        watch=LongCalls(store, SystemClock(), after=0.1).told,
    )
    await store.step_started(id, StepName.WAIT_HEALTHY)
    attempt = asyncio.create_task(steps.run(id, StepName.WAIT_HEALTHY, signals))
    async with asyncio.timeout(20):
        while (await step_of(database, id, StepName.WAIT_HEALTHY)).in_call_to is None:  # noqa: ASYNC110  # a row
            await asyncio.sleep(0.02)
        (waiting,) = await fleet.steps_in_call(database, 0.0)
        assert (waiting.step, waiting.platforms) == ("wait_healthy", "fake")
        compute.may_answer.set()
        await unwell.probed.wait()
        while (step := await step_of(database, id, StepName.WAIT_HEALTHY)).in_call_to is not None:  # noqa: ASYNC110  # a row
            await asyncio.sleep(0.02)
    assert (step.in_call_since, step.state) == (None, StepState.RUNNING)
    assert not attempt.done()
    attempt.cancel()
    await asyncio.wait({attempt})
    await pulling.go_on(InvalidConfig("enough"))


class Deaf(FakeCompute):
    """Its effect cannot be cancelled, like one in a thread."""

    def __init__(self, cloud: FakeCloud) -> None:
        super().__init__(cloud)
        self.asked, self.returned = asyncio.Event(), asyncio.Event()

    async def create(self, desired: DesiredResource) -> str | None:
        self.asked.set()
        effect = asyncio.ensure_future(self.returned.wait())
        try:
            await asyncio.shield(effect)
        except asyncio.CancelledError:
            await effect
            raise
        return await super().create(desired)


async def step_of(database: AsyncEngine, execution_id: str, name: StepName = StepName.APPLY_COMPUTE) -> Step:
    found = await executions.get(database, execution_id)
    assert found is not None
    return next(step for step in found[1] if step.name is name)
