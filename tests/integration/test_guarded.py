"""Writes of runners that are one statement hold what the transactions held that they replace."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import NoResultFound
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.errors import Terminal
from controlplane.model import Execution, ExecutionState, StepName, Tenant
from controlplane.persistence import leases, tables
from controlplane.persistence.execution_store import PostgresExecutionStore
from controlplane.persistence.owned_tenant import OwnedTenant
from providers.compute.fake import FakeCloud
from tests.integration.api_replica import until
from tests.integration.owner import World, create, spec
from tests.statements import statements

PROVISION = 90
"""Statements of a provision on the fake cloud, BEGIN and COMMIT included: 79, and a few more looks of its owner on a
busy machine. It was 110."""


async def running(database: AsyncEngine) -> tuple[Tenant, Execution]:
    tenant, execution = await create(database, "acme", spec())
    fence = await leases.acquire(database, tenant.id, cluster_id="here", actor_id="a")
    assert fence is not None
    own = OwnedTenant(database, tenant.id, fence, owner="test")
    assert await own.promote(execution.id)
    assert await own.running(execution.id, "ref")
    return tenant, execution


async def overtaken(database: AsyncEngine, tenant: Tenant, execution: Execution, write: Awaitable[Any]) -> Any:
    """What `write` says if it began before the execution was stopped, and got the row after that."""

    async def waits() -> bool:
        query = text(
            "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) "
            "WHERE NOT granted AND datname = current_database()"
        )
        async with database.connect() as connection:
            return int((await connection.execute(query)).scalar_one()) > 0

    async with database.begin() as connection:
        mine = select(tables.tenants.c.id).where(tables.tenants.c.id == tenant.id).with_for_update()
        await connection.execute(mine)
        writing = asyncio.ensure_future(write)
        await until(waits)
        stopped = update(tables.executions).where(tables.executions.c.id == execution.id)
        await connection.execute(stopped.values(state=ExecutionState.STOPPING))
    return await writing


async def count(database: AsyncEngine, table: str) -> int:
    async with database.connect() as connection:
        return int((await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one())


Write = Callable[[PostgresExecutionStore, Execution], Awaitable[Any]]


async def _begin(store: PostgresExecutionStore, execution: Execution) -> Any:
    return await store.step_started(execution.id, StepName.PLAN)


async def _intend(store: PostgresExecutionStore, execution: Execution) -> Any:
    return await store.intend(await store.context(execution.id), "fake", "here", "landlord-acme") or None


@pytest.mark.parametrize("write", [_begin, _intend])
async def test_who_waited_for_the_row_reads_it_as_it_is_then(database: AsyncEngine, write: Write) -> None:
    tenant, execution = await running(database)
    store = PostgresExecutionStore(database)
    assert await overtaken(database, tenant, execution, write(store, execution)) is None
    assert (await count(database, "steps"), await count(database, "placements")) == (0, 0)
    assert await write(store, execution) is None


async def test_two_runners_that_begin_one_step_make_one_attempt(database: AsyncEngine) -> None:
    _, execution = await running(database)
    store = PostgresExecutionStore(database)
    begun = await asyncio.gather(*(store.step_started(execution.id, StepName.PLAN) for _ in range(8)))
    assert [step.attempts for step in begun if step is not None] == [1] * 8
    assert [step.name for step in (await store.context(execution.id)).steps] == [StepName.PLAN]


async def test_a_step_of_another_action_is_refused_and_an_unknown_execution_is_an_error(database: AsyncEngine) -> None:
    _, execution = await running(database)
    store = PostgresExecutionStore(database)
    with pytest.raises(Terminal, match="no step"):
        await store.step_started(execution.id, StepName.VERIFY_GONE)
    with pytest.raises(NoResultFound):
        await store.step_started("nobody", StepName.PLAN)
    assert await count(database, "steps") == 0


async def test_the_steps_that_come_with_the_rows_are_those_of_their_table(database: AsyncEngine) -> None:
    tenant, execution = await running(database)
    store, step = PostgresExecutionStore(database), StepName.APPLY_COMPUTE
    for name in (step, StepName.PLAN):
        await store.step_started(execution.id, name)
    begun = await store.step_started(execution.id, StepName.WAIT_HEALTHY)
    await store.step_succeeded(execution.id, StepName.PLAN)
    assert begun is not None
    await store.step_in_call(execution.id, step, "fake", begun.started_at)
    fence = await leases.acquire(database, tenant.id, cluster_id="here", actor_id="b")
    assert fence is not None
    rows = await OwnedTenant(database, tenant.id, fence, owner="test").load()
    assert rows.steps == (await store.context(execution.id)).steps
    assert [(one.name, one.ended_at is not None, one.in_call_to) for one in rows.steps] == [
        (StepName.PLAN, True, None),
        (step, False, "fake"),
        (StepName.WAIT_HEALTHY, False, None),
    ]
    assert (rows.steps[1].in_call_since, rows.steps[2]) == (begun.started_at, begun)


async def test_a_provision_asks_the_database_so_often(database: AsyncEngine, database_url: str, tmp_path: Path) -> None:
    world = World(database, database_url, tmp_path, FakeCloud())
    tenant = await world.create(spec())
    owner = world.owner(tenant)
    async with statements(owner.database) as asked, owner:
        await world.settled(tenant, "ready")
    assert len(asked) <= PROVISION, "\n".join(asked)
