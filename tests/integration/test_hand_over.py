"""A delete whose engine is silent is handed to the embedded one: the real runner and rows, an engine of the test."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.runtime import Runtime
from controlplane.errors import Unavailable
from controlplane.model import Execution, ExecutionState, Status, Tenant
from controlplane.persistence import executions, intents, tenants
from controlplane.persistence.transaction import transaction
from controlplane.ports import ExecutionInput, ExecutionStatus, Started
from providers.compute.fake import FakeCloud
from providers.registry import Enabled
from tests.integration.owner import Owner, World, spec

OTHER = "other"
SILENCE = 0.3
"""Seconds in place of the five minutes."""


class Silent:
    """A workflow engine that takes what is started, or does not, and answers nothing else."""

    name = OTHER

    def __init__(self, *, takes: bool) -> None:
        self._takes = takes
        self.started: list[str] = []
        self.killed: list[str] = []

    async def start(self, request: ExecutionInput) -> Started:
        if not self._takes:
            raise Unavailable("no answer from other")
        self.started.append(request.execution_id)
        return Started(already=False, ref="ref")

    async def next_status(self, execution_id: str, ref: str | None, after: ExecutionStatus | None) -> ExecutionStatus:
        raise Unavailable("no answer from other")

    async def cancel(self, execution_id: str, ref: str | None, reason: str, *, kill: bool = False) -> None:
        self.killed.append(execution_id)

    async def close(self) -> None:
        """Nothing is open."""


class PatientOwner(Owner):
    """`other` None: that engine is not enabled."""

    def __init__(self, world: "SilentWorld", tenant: Tenant, other: Silent | None) -> None:
        self._other = other
        super().__init__(*world.place, tenant, 3)

    def _build(self, *given: Any) -> Runtime:
        built = super()._build(*given)
        embedded, other = built.workflow["embedded"], self._other
        engines: dict[str, Any] = {"embedded": lambda: embedded, **({OTHER: lambda: other} if other else {})}
        policy = replace(built.policy, engine_silence=SILENCE)
        return replace(built, workflow=Enabled(engines), policy=policy)


class SilentWorld(World):
    @property
    def place(self) -> tuple[str, Path, FakeCloud]:
        return self._database_url, self._home, self.cloud

    async def delete_on_other(self) -> Execution:
        async with transaction(self.database, actor="test") as tx:
            tenant = await tenants.lock_by_name(tx, "acme")
            assert tenant is not None
            return (await intents.delete(tx, tenant, default_workflow=OTHER)).execution


@pytest_asyncio.fixture
async def world(database: AsyncEngine, database_url: str, tmp_path: Path) -> AsyncIterator[SilentWorld]:
    yield SilentWorld(database, database_url, tmp_path, FakeCloud(identity="cloud"))


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(Silent(takes=False), id="does-not-take-it"),
        pytest.param(Silent(takes=True), id="does-not-answer"),
        pytest.param(None, id="not-enabled"),
    ],
)
async def test_a_delete_goes_on_with_the_embedded_engine(world: SilentWorld, other: Silent | None) -> None:
    tenant = await world.create(spec("1"))
    async with PatientOwner(world, tenant, other) as owner:
        await world.settled(tenant, Status.READY, 1)
        first = await world.delete_on_other()
        owner.mailbox.mark_dirty()
        await world.settled(tenant, Status.DELETED)
    assert await world.instances() == []
    second, handed_over = (await executions.page(world.database, tenant.id, limit=5))[:2]
    assert (second.engine, second.run, second.state) == ("embedded", 2, ExecutionState.SUCCEEDED)
    assert (handed_over.id, handed_over.engine, handed_over.state) == (first.id, OTHER, ExecutionState.FAILED)
    assert (handed_over.error or "").startswith("other is replaced by embedded: ")
    if other is not None:
        assert other.killed == [first.id], "it may have got it after all"
        assert set(other.started) <= {first.id}


async def test_another_owner_ends_a_delete_that_runs_where_it_is_not_enabled_any_more(world: SilentWorld) -> None:
    tenant = await world.create(spec("1"))
    engine = Silent(takes=True)
    async with PatientOwner(world, tenant, engine) as first:
        await world.settled(tenant, Status.READY, 1)
        await world.delete_on_other()
        first.mailbox.mark_dirty()
        await world.until(tenant, lambda v: v.execution.state is ExecutionState.RUNNING)
        await first.die()
    async with PatientOwner(world, tenant, None):
        await world.settled(tenant, Status.DELETED)
    assert await world.instances() == []
