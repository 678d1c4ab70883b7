"""A tenant's owner without Ray: the real runner, engine and rows in this process. What an actor is made of."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncEngine

from actors.mailbox import Mailbox
from actors.runner import Runner
from actors.runtime import Runtime, build_runtime
from controlplane.model import Execution, StepName, Tenant, TenantSpec
from controlplane.persistence import intents, leases, tenants
from controlplane.persistence.ownership import Ownership
from controlplane.persistence.tenants import TenantView
from controlplane.persistence.transaction import transaction
from controlplane.ports import ExecutionInput
from providers.workflow.embedded import EmbeddedWorkflow


def runtime(database_url: str, home: Any, **settings: str) -> Runtime:
    """As in an actor, but steps run where they are called."""

    async def run_step(order: ExecutionInput, step: StepName) -> None:
        engine = built.workflow["embedded"]
        assert isinstance(engine, EmbeddedWorkflow)
        await built.steps.run(order.execution_id, step, engine.signals(order.execution_id))

    environ = {
        "LANDLORD_HOME": str(home),
        "LANDLORD_DATABASE_URL": database_url,
        "LANDLORD_ACTOR_IDLE_SECONDS": "never",
        "LANDLORD_INTERNAL_CLUSTER_ID": "test",
        "LANDLORD_INTERNAL_BUILD": "test",
        **settings,
    }
    built = build_runtime(actor="test", run_step=run_step, pool=3, environ=environ)
    return built


class Owner:
    """Takes the lease of a tenant and drives it until `leave` or `die`."""

    def __init__(self, runtime: Runtime, tenant: Tenant) -> None:
        self.runtime = runtime
        self.tenant = tenant
        self.mailbox = Mailbox()
        self.task: asyncio.Task[str] | None = None

    async def __aenter__(self) -> "Owner":
        fence = await leases.acquire(self.runtime.engine, self.tenant.id, cluster_id="test", actor_id=uuid4().hex[:8])
        assert fence is not None
        ownership = Ownership(self.runtime.engine, self.tenant.id, fence, owner="test")
        self.task = asyncio.create_task(Runner(ownership, self.runtime, self.mailbox).run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self.task is not None
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def until(self, condition: Callable[[TenantView], bool], seconds: float = 20) -> TenantView:
        """Polls the rows until `condition`; what they were last is in the failure."""
        return await until(self.runtime.engine, self.tenant, condition, seconds)


async def until(
    engine: AsyncEngine, tenant: Tenant, condition: Callable[[TenantView], bool], seconds: float = 20
) -> TenantView:
    give_up = asyncio.get_running_loop().time() + seconds
    while True:
        view = await tenants.get(engine, str(tenant.id))
        assert view is not None
        if condition(view):
            return view
        assert asyncio.get_running_loop().time() < give_up, f"not in {seconds} s: {view}"
        await asyncio.sleep(0.02)


async def create(engine: AsyncEngine, name: str, spec: TenantSpec) -> tuple[Tenant, Execution]:
    async with transaction(engine, actor="test") as tx:
        intent = await intents.create(tx, name=name, labels={}, annotations={}, spec=spec, default_workflow="embedded")
    return intent.tenant, intent.execution


async def patch(engine: AsyncEngine, name: str, spec: TenantSpec) -> Execution:
    async with transaction(engine, actor="test") as tx:
        tenant = await tenants.lock_by_name(tx.connection, name)
        assert tenant is not None
        intent = await intents.patch(
            tx, tenant, spec=spec, labels=tenant.labels, annotations=tenant.annotations, default_workflow="embedded"
        )
    return intent.execution


async def delete(engine: AsyncEngine, name: str) -> Execution:
    async with transaction(engine, actor="test") as tx:
        tenant = await tenants.lock_by_name(tx.connection, name)
        assert tenant is not None
        return (await intents.delete(tx, tenant, default_workflow="embedded")).execution
