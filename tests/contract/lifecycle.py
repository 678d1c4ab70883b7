"""A tenant's life on an engine outside the actor: the real runner and rows, the real steps, a fake cloud.

Subclass `WorkflowLifecycle` and bring the fixture `engine_of`: given the attempts that the engine's runners are to
make and the rows, it sets the engine up and gives a factory of providers, one for each owner.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.runtime import Runtime
from controlplane.attempts import Attempts
from controlplane.backoff import Backoff
from controlplane.clock import SystemClock
from controlplane.errors import NotAvailableYet
from controlplane.failpoints import Failpoints
from controlplane.model import ExecutionState, Status, SubState, Tenant, TenantSpec, WorkflowSpec
from controlplane.persistence import executions
from controlplane.persistence.runs import PostgresExecutionStore
from controlplane.ports import ExecutionStore, WorkflowProvider
from controlplane.probe import HealthProber
from controlplane.steps import Steps
from providers.compute.fake import FakeCloud, FakeCompute
from providers.registry import Enabled
from tests.integration.owner import Owner, World, spec

ProviderFactory = Callable[[], WorkflowProvider]
EngineOf = Callable[[Attempts, ExecutionStore], Awaitable[ProviderFactory]]
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
            raise NotAvailableYet("there is no such image: web:missing")
        self.creating.set()
        await self.may_create.wait()
        return await super().create(name, labels, config)


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

    def __init__(self, engine: AsyncEngine, database_url: str, home: Path) -> None:
        self.platform = Platform()
        super().__init__(engine, database_url, home, self.platform)
        self._prober = HealthProber()
        store = self.store = PostgresExecutionStore(engine)
        steps = Steps(store, {"fake": FakeCompute(self.cloud)}, self._prober, SystemClock(), Failpoints(None))
        self.attempts = Attempts(store, steps, SystemClock(), max_attempts=20, backoff=Backoff(base=0.3, ceiling=0.6))
        self.provider: ProviderFactory

    def owned(self, tenant: Tenant) -> EngineOwner:
        return EngineOwner(self._database_url, self._home, self.cloud, tenant, self.provider())

    def spec(self, version: str, **given: Any) -> TenantSpec:
        return spec(version, **given).model_copy(update={"workflow": WorkflowSpec(provider=self.provider().name)})

    async def states(self, tenant: Tenant) -> list[str]:
        """Of its executions, newest first."""
        return [e.state.value for e in await executions.page(self.engine, tenant.id, limit=50)]

    async def close(self) -> None:
        await self._prober.close()


class WorkflowLifecycle:
    @pytest_asyncio.fixture
    async def world(
        self, engine: AsyncEngine, database_url: str, tmp_path: Path, engine_of: EngineOf
    ) -> AsyncIterator[EngineWorld]:
        world = EngineWorld(engine, database_url, tmp_path)
        world.provider = await engine_of(world.attempts, world.store)
        yield world
        await world.close()

    async def test_create_update_twice_delete(self, world: EngineWorld) -> None:
        tenant = await world.create(world.spec("1"))
        async with world.owned(tenant) as owner:
            await world.settled(tenant, Status.READY, 1)
            updates = set()
            for generation, version in ((2, "2"), (3, "3")):
                updates.add((await world.patch(world.spec(version))).id)
                owner.mailbox.mark()
                view = await world.settled(tenant, Status.READY, generation)
                assert view.execution.provider == self.name_of(world)
                assert await world.instances() == [(generation, 1, "running")]
            assert len(updates) == 2
            await world.delete()
            owner.mailbox.mark()
            await world.settled(tenant, Status.DELETED)
        assert await world.instances() == []
        assert await world.states(tenant) == ["succeeded"] * 4

    async def test_what_is_not_there_backs_off_in_sight_and_a_patch_restarts_it(self, world: EngineWorld) -> None:
        tenant = await world.create(world.spec("missing"))
        async with world.owned(tenant) as owner:
            view = await world.until(
                tenant,
                lambda v: v.execution.sub_state is SubState.BACKING_OFF and v.execution.retry_count >= 2,
                SECONDS,
            )
            assert "there is no such image: web:missing" in (view.execution.error or "")
            await world.patch(world.spec("2"))
            owner.mailbox.mark()
            view = await world.settled(tenant, Status.READY, 2)
            assert view.execution.retry_count == 0
        assert await world.states(tenant) == ["succeeded", "superseded"]
        assert await world.instances() == [(2, 1, "running")]

    async def test_a_failing_probe_is_restarted_by_a_patch(self, world: EngineWorld) -> None:
        tenant = await world.create(world.spec("1", **SICK))
        async with world.owned(tenant) as owner:
            await world.until(tenant, lambda v: v.execution.sub_state is SubState.BACKING_OFF)
            await world.patch(world.spec("2"))
            owner.mailbox.mark()
            await world.settled(tenant, Status.READY, 2)
            overtaken = (await executions.page(world.engine, tenant.id, limit=5))[1]
            assert (overtaken.state, overtaken.stop_reason) == (ExecutionState.SUPERSEDED, "Configuration updated")
        assert await world.instances() == [(2, 1, "running")]

    async def test_a_delete_during_a_slow_step_leaves_nothing(self, world: EngineWorld) -> None:
        world.platform.may_create.clear()
        tenant = await world.create(world.spec("1"))
        async with world.owned(tenant) as owner:
            await asyncio.wait_for(world.platform.creating.wait(), SECONDS)
            await world.delete()
            owner.mailbox.mark()
            await world.until(tenant, lambda v: v.tenant.status is Status.DELETING)
            world.platform.may_create.set()
            await world.settled(tenant, Status.DELETED)
            await world.until(tenant, lambda v: not world.cloud.instances())
        assert await world.states(tenant) == ["succeeded", "superseded"]

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

    @staticmethod
    def name_of(world: EngineWorld) -> str:
        return world.provider().name
