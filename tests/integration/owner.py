"""Tenants' owners without Ray: the real runner, engine and rows in this process, on a fake cloud that all share."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncEngine

from actors.options import CONNECTIONS_PER_ACTOR, SUPERVISOR_CONNECTIONS
from actors.runtime import Runtime, build_runtime
from actors.tenant.mailbox import Mailbox
from actors.tenant.replay import Replay
from actors.tenant.runner import Runner
from controlplane.failpoints import Failpoints
from controlplane.model import ComputeSpec, Execution, HealthSpec, PlacementState, StepName, Tenant, TenantSpec
from controlplane.persistence import executions, intents, leases, placements, tenants
from controlplane.persistence.owned_tenant import OwnedTenant
from controlplane.persistence.tenants import ExecutionLine, TenantView
from controlplane.persistence.transaction import Transaction, transaction
from controlplane.ports import ComputeProvider, ExecutionInput, StepRunner, StepSignals, WorkflowProvider
from controlplane.steps.backoff import Backoff
from controlplane.steps.platforms import Platforms
from controlplane.steps.run import Steps
from controlplane.steps.upkeep import Upkeep
from providers.compute.fake import FakeCloud, FakeCompute
from providers.registry import Enabled
from providers.workflow.embedded import EmbeddedWorkflow

SECONDS = 60.0
REQUEST = "request-of-test"
"""What created the tenants."""


def spec(
    version: str = "1", *, probe: dict[str, Any] | None = None, heal: str = "restart", **config: Any
) -> TenantSpec:
    """A tenant on the fake cloud that is looked at often."""
    return TenantSpec(
        compute=ComputeSpec(provider="fake", config={"version": version, **config}),
        health=HealthSpec.model_validate({"interval_seconds": 0.05, **(probe or {})}),
        heal=heal,  # type: ignore[arg-type]
    )


def runtime(
    database_url: str,
    home: Path,
    cloud: FakeCloud,
    run_step: StepRunner | None,
    settings: Mapping[str, str] | None = None,
    failpoints: Path | None = None,
    node: str | None = None,
    pool: int = CONNECTIONS_PER_ACTOR,
) -> Runtime:
    """What an actor process is built from, with that cloud as its one compute provider."""
    environ = {
        "LANDLORD_HOME": str(home),
        "LANDLORD_DATABASE_URL": database_url,
        "LANDLORD_ACTOR_IDLE_SECONDS": "never",
        "LANDLORD_COMPUTE_PROVIDERS": "fake",
        "LANDLORD_INTERNAL_CLUSTER_ID": "test",
        **(settings or {}),
    }
    built = build_runtime(actor="test", run_step=run_step, pool=pool, environ=environ, node=node)
    compute: Enabled[ComputeProvider] = Enabled({"fake": lambda: FakeCompute(cloud)})
    platforms = Platforms(built.store, compute, built.settings.lost_platforms)
    steps = Steps(built.store, platforms, built.prober, built.clock, Failpoints(failpoints), node=node, node_grace=300)
    return replace(built, compute=compute, steps=steps, upkeep=Upkeep(built.store, platforms, built.prober))


class Owner:
    """What an actor is made of: takes the lease of a tenant and drives it until it is left, or dies."""

    def __init__(
        self,
        database_url: str,
        home: Path,
        cloud: FakeCloud,
        tenant: Tenant,
        max_attempts: int,
        failpoints: Path | None = None,
        node: str | None = None,
    ) -> None:
        self.tenant = tenant
        self._failpoints = failpoints
        self._node = node
        self.mailbox = Mailbox()
        self.replay = Replay()
        self._embedded: EmbeddedWorkflow | None = None
        self._runtime = self._build(database_url, home, cloud, max_attempts)
        self._runner: Runner | None = None
        self._life: asyncio.Task[str] | None = None

    async def __aenter__(self) -> "Owner":
        fence = await leases.acquire(
            self._runtime.database, self.tenant.id, cluster_id="test", actor_id=uuid4().hex[:8]
        )
        assert fence is not None
        owned = OwnedTenant(self._runtime.database, self.tenant.id, fence, owner="test")
        self._runner = Runner(owned, self._runtime, self.mailbox, self.replay)
        self._life = asyncio.create_task(self._runner.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.die()
        await self._runtime.close()

    @property
    def database(self) -> AsyncEngine:
        return self._runtime.database

    async def die(self) -> None:
        """As by SIGKILL: nothing is given back, and what was under way is cut off where it stood."""
        assert self._life is not None
        assert self._embedded is not None
        tasks = [self._life, *(run.task for run in self._embedded._runs.values() if run.task)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def hurry(self) -> None:
        """Others wait for its place."""
        assert self._runner is not None
        self._runner.hurry()

    async def ended(self) -> str:
        """Why the runner ended by itself."""
        assert self._life is not None
        return await asyncio.wait_for(self._life, SECONDS)

    async def left(self) -> str:
        """Why the runner ended by itself, once its lease is given back."""
        assert self._runner is not None
        ended = await self.ended()
        await self._runner.give_back(ended)
        return ended

    async def run_ended(self, execution_id: str) -> None:
        """Until the engine in this process has nothing more to do for it, whoever owns the tenant by then."""
        assert self._embedded is not None
        status = None
        async with asyncio.timeout(SECONDS):
            while status is None or not status.sub_state.terminal:
                status = await self._embedded.next_status(execution_id, None, status)

    def _build(self, database_url: str, home: Path, cloud: FakeCloud, max_attempts: int) -> Runtime:
        built = runtime(database_url, home, cloud, self._run_step, failpoints=self._failpoints, node=self._node)
        self._steps = built.steps
        self._embedded = embedded = EmbeddedWorkflow(
            built.store,
            self._run_step,
            built.clock,
            max_attempts=max_attempts,
            backoff=Backoff(base=0.02, ceiling=0.1),
        )
        workflow: Enabled[WorkflowProvider] = Enabled({"embedded": lambda: embedded})
        return replace(built, workflow=workflow)

    async def _run_step(self, request: ExecutionInput, step: StepName, signals: StepSignals) -> None:
        await self._steps.run(request.execution_id, step, signals)


class World:
    """A database, a cloud, and the client's side of one tenant named `acme`."""

    def __init__(self, database: AsyncEngine, database_url: str, home: Path, cloud: FakeCloud) -> None:
        self.database = database
        self.cloud = cloud
        self.failpoints = home / "failpoints"
        self._database_url = database_url
        self._home = home

    def owner(self, tenant: Tenant, max_attempts: int = 3, node: str | None = None) -> Owner:
        return Owner(self._database_url, self._home, self.cloud, tenant, max_attempts, self.failpoints, node)

    @asynccontextmanager
    async def held(self, point: str) -> AsyncIterator[Path]:
        """Who comes to that failpoint is held there, until this ends; the file is there once somebody is."""
        self.failpoints.mkdir(exist_ok=True)
        armed = self.failpoints / point
        armed.write_text("hold")
        try:
            yield self.failpoints / f"{point}.reached"
        finally:
            armed.unlink()

    @asynccontextmanager
    async def net(self, **settings: str) -> AsyncIterator[Runtime]:
        """What a supervisor is built from; it runs no step."""
        built = runtime(self._database_url, self._home, self.cloud, None, settings, pool=SUPERVISOR_CONNECTIONS)
        try:
            yield built
        finally:
            await built.close()

    async def create(self, wanted: TenantSpec) -> Tenant:
        return (await create(self.database, "acme", wanted))[0]

    async def patch(self, wanted: TenantSpec) -> Execution:
        return await patch(self.database, "acme", wanted)

    async def delete(self) -> Execution:
        return await delete(self.database, "acme")

    async def retry(self) -> None:
        async with self._locked() as (tx, tenant):
            await intents.retry(tx, tenant, default_workflow="embedded")

    async def restart(self) -> Execution:
        async with self._locked() as (tx, tenant):
            return (await intents.restart(tx, tenant, default_workflow="embedded")).execution

    async def cancel(self, execution: Execution | ExecutionLine) -> None:
        async with self._locked() as (tx, tenant):
            row = await executions.lock(tx.connection, execution.id)
            assert row is not None
            await intents.cancel(tx, tenant, row)

    async def force_delete(self) -> None:
        async with self._locked() as (tx, tenant):
            await intents.force_delete(tx, tenant)

    @asynccontextmanager
    async def _locked(self) -> AsyncIterator[tuple[Transaction, Tenant]]:
        async with transaction(self.database, actor="test") as tx:
            tenant = await tenants.lock_by_name(tx, "acme")
            assert tenant is not None
            yield tx, tenant

    async def until(
        self, tenant: Tenant, condition: Callable[[TenantView], bool], seconds: float = SECONDS
    ) -> TenantView:
        """Polls the rows until `condition`; what they were last is in the failure."""
        give_up = asyncio.get_running_loop().time() + seconds
        while True:
            view = await tenants.get(self.database, str(tenant.id))
            assert view is not None
            if condition(view):
                return view
            assert asyncio.get_running_loop().time() < give_up, f"not in {seconds} s: {view}"
            await asyncio.sleep(0.01)

    async def settled(self, tenant: Tenant, status: str, generation: int | None = None) -> TenantView:
        """Until it has that status, with the newest execution over."""
        return await self.until(
            tenant,
            lambda v: (
                v.tenant.status == status
                and v.execution.state.terminal
                and generation in (None, v.tenant.observed_generation)
            ),
        )

    async def cleaned(self, execution_id: str) -> None:
        """Until its placement is recorded as removed."""
        async with asyncio.timeout(SECONDS):
            while True:
                found = await placements.of_execution(self.database, execution_id)
                if found is not None and found.state is PlacementState.REMOVED:
                    return
                await asyncio.sleep(0.01)

    async def instances(self) -> list[tuple[int, int, str]]:
        """(generation, run, state) of all that the cloud holds for anybody."""
        found = self.cloud.instances()
        return sorted(
            (int(i.labels["landlord.generation"]), int(i.labels["landlord.run"]), i.state.value) for i in found
        )


async def create(database: AsyncEngine, name: str, wanted: TenantSpec) -> tuple[Tenant, Execution]:
    async with transaction(database, actor="test", request_id=REQUEST) as tx:
        intent = await intents.create(
            tx, name=name, labels={}, annotations={}, spec=wanted, default_workflow="embedded"
        )
    return intent.tenant, intent.execution


async def patch(database: AsyncEngine, name: str, wanted: TenantSpec) -> Execution:
    async with transaction(database, actor="test") as tx:
        tenant = await tenants.lock_by_name(tx, name)
        assert tenant is not None
        intent = await intents.patch(
            tx, tenant, spec=wanted, labels=tenant.labels, annotations=tenant.annotations, default_workflow="embedded"
        )
    return intent.execution


async def delete(database: AsyncEngine, name: str) -> Execution:
    async with transaction(database, actor="test") as tx:
        tenant = await tenants.lock_by_name(tx, name)
        assert tenant is not None
        return (await intents.delete(tx, tenant, default_workflow="embedded")).execution
