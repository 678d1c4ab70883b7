"""A tenant's life on an engine: the real runner and rows, the real steps, a fake cloud.

Subclass `WorkflowLifecycle` and bring a fixture `world`; for an engine outside the actor subclass `LifeOutside` and
bring `count_at_engine` and `engine_of`, which is given the attempts that the engine's runners are to make and the
rows, sets the engine up and gives a factory of providers, one for each owner.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.runtime import Runtime
from controlplane.clock import SystemClock
from controlplane.errors import NotAvailableYet, Unavailable, WaitsFor
from controlplane.failpoints import Failpoints
from controlplane.model import (
    ConditionType,
    EventType,
    ExecutionState,
    Status,
    StepName,
    SubState,
    Tenant,
    TenantSpec,
    WorkflowSpec,
)
from controlplane.persistence import events, executions
from controlplane.persistence.execution_store import PostgresExecutionStore
from controlplane.persistence.tenants import TenantView
from controlplane.ports import ExecutionInput, ExecutionStore, ResourceState, Started, WorkflowProvider
from controlplane.steps.attempts import StepAttempts
from controlplane.steps.backoff import Backoff
from controlplane.steps.platforms import Platforms
from controlplane.steps.probe import HealthProber
from controlplane.steps.run import Steps
from providers.compute.fake import FakeCloud, FakeCompute
from providers.conformance.workflow import CountAtEngine
from providers.registry import Enabled
from tests.integration.owner import Owner, World, spec

ProviderFactory = Callable[[], WorkflowProvider]
EngineOf = Callable[[StepAttempts, ExecutionStore], Awaitable[ProviderFactory]]
SICK = {"health": ["unhealthy"]}
SECONDS = 60.0


class Platform(FakeCloud):
    """A cloud that lacks version `missing`, and whose `create` can be held up."""

    def __init__(self) -> None:
        super().__init__(identity="cloud")
        self.creating = asyncio.Event()
        self.may_create = asyncio.Event()
        self.may_create.set()

    async def create(self, name: str, labels: Mapping[str, str], config: Mapping[str, Any]) -> str | None:
        if config["version"] == "missing":
            raise NotAvailableYet("there is no such image: web:missing", waits_for=WaitsFor.IMAGE_NOT_FOUND)
        self.creating.set()
        await self.may_create.wait()
        return await super().create(name, labels, config)

    async def crash_again_and_again(self, version: str) -> None:
        """Whatever of that version is there ends, and is started again at once."""
        while True:
            for instance in self.instances():
                if instance.config["version"] == version and instance.state is ResourceState.RUNNING:
                    self.crash(instance.id, restarts=True)
            await asyncio.sleep(0.01)


class EngineOwner(Owner):
    """An owner that knows one more engine than the embedded one."""

    def __init__(
        self, database_url: str, home: Path, cloud: FakeCloud, tenant: Tenant, provider: WorkflowProvider
    ) -> None:
        self._provider = provider
        super().__init__(database_url, home, cloud, tenant, 3)

    def _build(self, *given: Any) -> Runtime:
        built = super()._build(*given)
        embedded, provider = built.workflow["embedded"], self._provider
        return replace(built, workflow=Enabled({"embedded": lambda: embedded, provider.name: lambda: provider}))


class EngineWorld(World):
    """The world, with the engine's runners at work on the same rows and the same cloud."""

    def __init__(self, database: AsyncEngine, database_url: str, home: Path) -> None:
        self.platform = Platform()
        super().__init__(database, database_url, home, self.platform)
        self._prober = HealthProber()
        store = self.store = PostgresExecutionStore(database)
        platforms = Platforms(store, {"fake": FakeCompute(self.cloud)})
        steps = Steps(store, platforms, self._prober, SystemClock(), Failpoints(None))
        self.attempts = StepAttempts(
            store, steps, SystemClock(), max_attempts=20, backoff=Backoff(base=0.3, ceiling=0.6)
        )
        self.provider: ProviderFactory

    def owned(self, tenant: Tenant) -> Owner:
        return EngineOwner(self._database_url, self._home, self.cloud, tenant, self.provider())

    def spec(self, version: str, **given: Any) -> TenantSpec:
        return spec(version, **given).model_copy(update={"workflow": WorkflowSpec(provider=self.name)})

    @property
    def name(self) -> str:
        """Of the engine."""
        return self.provider().name

    async def states(self, tenant: Tenant) -> list[str]:
        """Of its executions, newest first."""
        return [e.state.value for e in await executions.page(self.database, tenant.id, limit=50)]

    async def close(self) -> None:
        await self._prober.close()


def waiting(view: TenantView) -> tuple[str, str, str] | None:
    """Status, reason and message of the condition `Waiting`."""
    found = [c for c in view.tenant.conditions if c.type == ConditionType.WAITING]
    return (found[0].status, found[0].reason, found[0].message) if found else None


class WorkflowLifecycle:
    """On every engine."""

    async def test_create_update_twice_delete(self, world: EngineWorld) -> None:
        tenant = await world.create(world.spec("1"))
        async with world.owned(tenant) as owner:
            await world.settled(tenant, Status.READY, 1)
            updates = set()
            for generation, version in ((2, "2"), (3, "3")):
                updates.add((await world.patch(world.spec(version))).id)
                owner.mailbox.mark_dirty()
                view = await world.settled(tenant, Status.READY, generation)
                assert view.execution.engine == world.name
                assert await world.instances() == [(generation, 1, "running")]
            assert len(updates) == 2
            await world.delete()
            owner.mailbox.mark_dirty()
            await world.settled(tenant, Status.DELETED)
        assert await world.instances() == []
        assert await world.states(tenant) == ["succeeded"] * 4
        trail = await events.page(world.database, tenant_id=tenant.id, limit=500)
        assert len(trail) > 20
        assert {event.trigger_source for event in trail} == {"api"}

    async def test_what_is_not_there_backs_off_in_sight_and_a_patch_restarts_it(self, world: EngineWorld) -> None:
        tenant = await world.create(world.spec("missing"))
        async with world.owned(tenant) as owner:
            view = await world.until(
                tenant,
                lambda v: (
                    v.execution.sub_state is SubState.BACKING_OFF
                    and v.execution.retry_count >= 2
                    and v.execution.next_attempt_at is not None
                    and waiting(v) is not None
                ),
                SECONDS,
            )
            assert "there is no such image: web:missing" in (view.execution.error or "")
            assert waiting(view) == ("true", "ImageNotFound", "there is no such image: web:missing")
            await world.patch(world.spec("2"))
            owner.mailbox.mark_dirty()
            view = await world.settled(tenant, Status.READY, 2)
            assert waiting(view) is None
            assert view.execution.retry_count == 0
            overtaken = (await executions.page(world.database, tenant.id, limit=5))[1]
            assert (overtaken.state, overtaken.stop_reason) == (ExecutionState.SUPERSEDED, "Configuration updated")
            assert overtaken.superseded_by == view.execution.id
        assert await world.instances() == [(2, 1, "running")]

    async def test_a_failing_probe_is_restarted_by_a_patch(self, world: EngineWorld) -> None:
        tenant = await world.create(world.spec("1", **SICK))
        async with world.owned(tenant) as owner:
            await world.until(tenant, lambda v: v.execution.sub_state is SubState.BACKING_OFF)
            await world.patch(world.spec("2"))
            owner.mailbox.mark_dirty()
            await world.settled(tenant, Status.READY, 2)
            overtaken = (await executions.page(world.database, tenant.id, limit=5))[1]
            assert (overtaken.state, overtaken.stop_reason) == (ExecutionState.SUPERSEDED, "Configuration updated")
        assert await world.instances() == [(2, 1, "running")]

    async def test_a_patch_during_healthy_running_disturbs_nothing(self, world: EngineWorld) -> None:
        world.platform.may_create.clear()
        tenant = await world.create(world.spec("1"))
        async with world.owned(tenant) as owner:
            await asyncio.wait_for(world.platform.creating.wait(), SECONDS)
            first = (await world.until(tenant, lambda v: v.execution.state is ExecutionState.RUNNING)).execution
            await world.patch(world.spec("2"))
            owner.mailbox.mark_dirty()
            await world.until(tenant, lambda v: not owner.mailbox.dirty)
            world.platform.may_create.set()
            await world.settled(tenant, Status.READY, 2)
        let_finish = await executions.get(world.database, first.id)
        assert let_finish is not None
        assert (let_finish[0].state, let_finish[0].stop_reason) == (ExecutionState.SUCCEEDED, None)
        assert await world.states(tenant) == ["succeeded", "succeeded"]
        assert await world.instances() == [(2, 1, "running")]

    async def test_a_delete_during_a_slow_step_leaves_nothing(self, world: EngineWorld) -> None:
        world.platform.may_create.clear()
        tenant = await world.create(world.spec("1"))
        async with world.owned(tenant) as owner:
            await asyncio.wait_for(world.platform.creating.wait(), SECONDS)
            await world.delete()
            owner.mailbox.mark_dirty()
            await world.until(tenant, lambda v: v.tenant.status is Status.DELETING)
            world.platform.may_create.set()
            await world.settled(tenant, Status.DELETED)
            await world.until(tenant, lambda v: not world.cloud.instances())
        assert await world.states(tenant) == ["succeeded", "superseded"]

    async def test_a_version_that_does_not_last_replaces_nothing(self, world: EngineWorld) -> None:
        """Its platform starts it again at once, so it runs whenever somebody looks."""
        tenant = await world.create(world.spec("1"))
        unprobed = {"health": [], "probe": {"min_healthy_seconds": 0.5, "deadline_seconds": 2}}
        async with world.owned(tenant) as owner:
            await world.settled(tenant, Status.READY, 1)
            await world.patch(world.spec("2", **unprobed))
            owner.mailbox.mark_dirty()
            looping = asyncio.create_task(world.platform.crash_again_and_again("2"))
            view = await world.settled(tenant, Status.FAILED)
            assert "was started again" in (view.execution.error or "")
            looping.cancel()
            await world.until(tenant, lambda v: len(world.cloud.instances()) == 1)
            assert await world.instances() == [(1, 1, "running")]
            await world.patch(world.spec("3", **unprobed))
            owner.mailbox.mark_dirty()
            view = await world.settled(tenant, Status.READY, 3)
            found = await executions.get(world.database, view.execution.id)
            assert found is not None
            step = next(step for step in found[1] if step.name is StepName.WAIT_HEALTHY)
            assert step.started_at is not None
            assert step.ended_at is not None
            assert (step.ended_at - step.started_at).total_seconds() >= 0.5
        assert await world.instances() == [(3, 1, "running")]

    async def test_what_was_replaced_drains_before_it_goes(self, world: EngineWorld) -> None:
        tenant = await world.create(world.spec("1"))
        async with world.owned(tenant) as owner:
            await world.settled(tenant, Status.READY, 1)
            await world.patch(world.spec("2", probe={"drain_seconds": 2}))
            owner.mailbox.mark_dirty()
            view = await world.until(tenant, lambda v: waiting(v) is not None)
            assert (waiting(view) or ("",) * 3)[1] == "Draining"
            assert await world.instances() == [(1, 1, "running"), (2, 1, "running")]
            view = await world.settled(tenant, Status.READY, 2)
            assert (waiting(view), view.execution.error) == (None, None)
        assert await world.instances() == [(2, 1, "running")]

    async def test_a_restart_in_place(self, world: EngineWorld) -> None:
        tenant = await world.create(world.spec("1"))
        async with world.owned(tenant) as owner:
            await world.settled(tenant, Status.READY, 1)
            (before,) = world.cloud.instances()
            asked = await world.restart()
            owner.mailbox.mark_dirty()
            view = await world.until(tenant, lambda v: v.execution.id == asked.id and v.execution.state.terminal)
            assert (view.execution.state, view.execution.error) == (ExecutionState.SUCCEEDED, None)
            view = await world.settled(tenant, Status.READY, 1)
            (after,) = world.cloud.instances()
        assert (after.id, after.starts) == (before.id, before.starts + 1)

    async def test_the_death_of_the_owner_disturbs_nothing(self, world: EngineWorld) -> None:
        tenant = await world.create(world.spec("1", probe={"start_period_seconds": 60}, **SICK))
        async with world.owned(tenant) as first:
            await world.until(tenant, lambda v: bool(world.cloud.instances()))
            await first.die()
            (instance,) = world.cloud.instances()
            world.cloud.alter(instance.id, health=["healthy"])
            async with world.owned(tenant):
                await world.settled(tenant, Status.READY, 1)
        assert await world.instances() == [(1, 1, "running")]
        assert await world.states(tenant) == ["succeeded"]


class Outside:
    """The world with an engine outside the actor: `engine_of`'s."""

    @pytest_asyncio.fixture
    async def world(
        self, database: AsyncEngine, database_url: str, tmp_path: Path, engine_of: EngineOf
    ) -> AsyncIterator[EngineWorld]:
        world = EngineWorld(database, database_url, tmp_path)
        world.provider = await engine_of(world.attempts, world.store)
        yield world
        await world.close()


class LifeOutside(Outside, WorkflowLifecycle):
    """On an engine that may be away, or whose answers may be lost."""

    async def test_a_start_whose_answer_is_lost_is_one_execution(
        self, world: EngineWorld, count_at_engine: CountAtEngine
    ) -> None:
        provider = world.provider
        world.provider = lambda: _losing_one_answer(provider())
        tenant = await world.create(world.spec("1"))
        async with world.owned(tenant):
            view = await world.until(tenant, lambda v: v.execution.error is not None)
            assert view.execution.state is ExecutionState.STARTING
            view = await world.settled(tenant, Status.READY, 1)
        trail = await events.page(world.database, tenant_id=tenant.id, limit=500)
        assert [event.type for event in trail].count(EventType.EXECUTION_TRIGGER_FAILED) == 1
        assert [event.data for event in trail if event.type == EventType.EXECUTION_RUNNING] == [{"already": True}]
        assert await world.states(tenant) == ["succeeded"]
        assert await count_at_engine(view.execution.id) == 1
        assert world.cloud.calls["create"] == 1


def _losing_one_answer(provider: WorkflowProvider) -> WorkflowProvider:
    """The engine takes the first start, and nobody hears of it."""
    start, lost = provider.start, False

    async def once(request: ExecutionInput) -> Started:
        nonlocal lost
        started = await start(request)
        if not lost:
            lost = True
            raise Unavailable("the answer was lost")
        assert started.already
        return started

    provider.start = once  # type: ignore[method-assign]
    return provider
