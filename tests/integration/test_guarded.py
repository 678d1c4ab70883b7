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
from controlplane.model import (
    Event,
    EventType,
    Execution,
    ExecutionState,
    Status,
    StepName,
    StepState,
    Tenant,
    TriggerSource,
)
from controlplane.persistence import chain, events, leases, tables
from controlplane.persistence.execution_store import PostgresExecutionStore
from controlplane.persistence.owned_tenant import OwnedTenant
from controlplane.persistence.transaction import EVENT_LOCK
from providers.compute.fake import FakeCloud
from tests.integration.api_replica import until
from tests.integration.owner import World, create, spec
from tests.statements import statements

PROVISION, UPDATE = 51, 51
"""Statements of a provision and of an update on the fake cloud, BEGIN and COMMIT included: 41 and 41, and more looks of
its owner, or a draft that is done again, on a busy machine. It was 110 and 108."""


async def running(database: AsyncEngine) -> tuple[Tenant, Execution]:
    tenant, execution = await create(database, "acme", spec())
    fence = await leases.acquire(database, tenant.id, cluster_id="here", actor_id="a")
    assert fence is not None
    own = OwnedTenant(database, tenant.id, fence, owner="test")
    assert await own.promote(execution.id)
    assert await own.running(execution.id, "ref")
    return tenant, execution


async def waits(database: AsyncEngine) -> bool:
    """Somebody waits for a lock."""
    query = text(
        "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) "
        "WHERE NOT granted AND datname = current_database()"
    )
    async with database.connect() as connection:
        return int((await connection.execute(query)).scalar_one()) > 0


async def overtaken(
    database: AsyncEngine,
    tenant: Tenant,
    execution: Execution,
    write: Awaitable[Any],
    by: ExecutionState = ExecutionState.STOPPING,
) -> Any:
    """What `write` says if it began before the execution was in the state `by`, and got the row after that."""
    async with database.begin() as connection:
        mine = select(tables.tenants.c.id).where(tables.tenants.c.id == tenant.id).with_for_update()
        await connection.execute(mine)
        writing = asyncio.ensure_future(write)
        await until(lambda: waits(database))
        stopped = update(tables.executions).where(tables.executions.c.id == execution.id)
        await connection.execute(stopped.values(state=by))
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


async def succeeded(database: AsyncEngine) -> list[Event]:
    return [one for one in await events.page(database, limit=100) if one.type == EventType.STEP_SUCCEEDED]


async def test_a_step_succeeds_once_and_is_told_once(database: AsyncEngine) -> None:
    tenant, execution = await running(database)
    store = PostgresExecutionStore(database, actor="tenant:acme")
    await store.activated(execution.id)
    await store.step_started(execution.id, StepName.PLAN)
    await asyncio.gather(*(store.step_succeeded(execution.id, StepName.PLAN) for _ in range(8)))
    rows = await store.context(execution.id)
    assert [(step.state, step.error, step.in_call_to) for step in rows.steps] == [(StepState.SUCCEEDED, None, None)]
    assert rows.steps[0].ended_at is not None
    assert rows.execution.activations == 0
    [told] = await succeeded(database)
    assert (told.tenant_id, told.tenant_name, told.execution_id) == (tenant.id, "acme", execution.id)
    assert (told.generation, told.status, told.trigger_source) == (1, Status.PLANNING, TriggerSource.API)
    assert (told.actor, told.message, told.data) == ("tenant:acme", "", {"step": "plan"})


async def test_a_step_of_an_execution_that_has_ended_meanwhile_is_not_told(database: AsyncEngine) -> None:
    tenant, execution = await running(database)
    store = PostgresExecutionStore(database)
    await store.activated(execution.id)
    await store.step_started(execution.id, StepName.PLAN)
    write = store.step_succeeded(execution.id, StepName.PLAN)
    await overtaken(database, tenant, execution, write, by=ExecutionState.FAILED)
    rows = await store.context(execution.id)
    assert (rows.steps[0].state, rows.execution.activations) == (StepState.RUNNING, 1)
    assert await succeeded(database) == []


async def test_events_of_statements_and_of_transactions_take_turns(database: AsyncEngine) -> None:
    """The ids are in the order of commits, and each event is chained to the one before."""
    store, made = PostgresExecutionStore(database), []
    for number in range(8):
        _, execution = await create(database, f"acme-{number}", spec())
        starting = update(tables.executions).where(tables.executions.c.id == execution.id)
        async with database.begin() as connection:
            await connection.execute(starting.values(state=ExecutionState.RUNNING))
        await store.step_started(execution.id, StepName.PLAN)
        await store.step_started(execution.id, StepName.APPLY_COMPUTE)
        made.append(execution.id)
    await asyncio.gather(
        *(store.step_succeeded(id, StepName.PLAN) for id in made),
        *(store.step_failed(id, StepName.APPLY_COMPUTE, "no", None) for id in made),
    )
    assert (await chain.verify(database)).broken == ()
    assert len(await succeeded(database)) == 8


async def test_who_tells_an_event_waits_for_the_turn(database: AsyncEngine) -> None:
    """Otherwise a reader by id could miss an event whose id is lower, but which is committed later."""
    _, execution = await running(database)
    store = PostgresExecutionStore(database)
    await store.step_started(execution.id, StepName.PLAN)
    async with database.begin() as connection:
        await connection.execute(text(f"SELECT pg_advisory_xact_lock({EVENT_LOCK})"))
        telling = asyncio.ensure_future(store.step_succeeded(execution.id, StepName.PLAN))
        await until(lambda: waits(database))
        assert not telling.done()
    await telling
    assert len(await succeeded(database)) == 1


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


async def test_a_provision_and_an_update_ask_the_database_so_often(
    database: AsyncEngine, database_url: str, tmp_path: Path
) -> None:
    world = World(database, database_url, tmp_path, FakeCloud())
    tenant = await world.create(spec())
    owner = world.owner(tenant)
    async with statements(owner.database) as asked, owner:
        await world.settled(tenant, "ready")
    assert len(asked) <= PROVISION, "\n".join(asked)
    await world.patch(spec("2"))
    owner = world.owner(tenant)
    async with statements(owner.database) as asked, owner:
        await world.settled(tenant, "ready", 2)
    assert len(asked) <= UPDATE, "\n".join(asked)
