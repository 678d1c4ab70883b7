"""What an owner drafts on the rows that it has read is what it would write with them locked, or it is not written."""

import asyncio
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.errors import LeaseLost
from controlplane.model import Execution, ExecutionState, Observed, Status, StepName, SubState, Tenant
from controlplane.persistence import chain, events, executions, leases, pauses, tables, tenants
from controlplane.persistence.execution_store import PostgresExecutionStore
from controlplane.persistence.owned_tenant import OwnedTenant
from controlplane.persistence.transaction import EVENT_LOCK, transaction
from controlplane.ports import ExecutionStatus
from tests.integration.api_replica import until
from tests.integration.owner import create, patch, spec
from tests.integration.test_guarded import waits
from tests.statements import statements


class Locking(OwnedTenant):
    """An owner that never drafts."""

    async def load(self) -> Any:
        found = await super().load()
        self._seen = None
        return found


async def owner(database: AsyncEngine, name: str, kind: type[OwnedTenant] = OwnedTenant) -> tuple[Any, Execution]:
    tenant, execution = await create(database, name, spec())
    fence = await leases.acquire(database, tenant.id, cluster_id="here", actor_id="a")
    assert fence is not None
    own = kind(database, tenant.id, fence, owner="test")
    await own.load()
    assert await own.promote(execution.id)
    return own, execution


async def ready(own: OwnedTenant, database: AsyncEngine, execution: Execution) -> None:
    """All of a life that may be drafted, each on rows that were just read."""
    store = PostgresExecutionStore(database)
    await own.load()
    assert await own.running(execution.id, "ref")
    await store.step_started(execution.id, StepName.PLAN)
    await own.load()
    assert await own.planned(execution.id)
    await own.load()
    assert await own.progressed(execution.id, ExecutionStatus(SubState.BACKING_OFF, 2, "no\x00 room"))
    await own.load()
    assert await own.progressed(execution.id, ExecutionStatus(SubState.RUNNING, 2))
    assert await store.switch(execution.id, Observed(resources={"instance": "i"}, healthy=True))
    await own.load()
    assert await own.finish(execution.id, ExecutionState.SUCCEEDED) is ExecutionState.SUCCEEDED


async def written(database: AsyncEngine, name: str) -> tuple[Tenant, Execution, list[Any]]:
    """The rows and the trail, with nothing in it that differs from one tenant to the next."""
    view = await tenants.get(database, name)
    assert view is not None
    found = await executions.get(database, view.execution.id)
    assert found is not None
    trail = await events.page(database, tenant_id=view.tenant.id, limit=100)
    said = ("type", "status", "generation", "trigger_source", "actor", "message", "data")
    return view.tenant, found[0], [[getattr(one, name) for name in said] for one in trail]


def same(one: Tenant | Execution, other: Tenant | Execution) -> None:
    """Also their times are those of the database, all set in both or in neither."""
    for name in type(one).__dataclass_fields__:
        mine, theirs = getattr(one, name), getattr(other, name)
        if isinstance(mine, datetime):
            assert isinstance(theirs, datetime), name
            assert abs((mine - theirs).total_seconds()) < 60, name
        elif name == "conditions":
            without_time = [[replace(c, since=datetime.min) for c in conditions] for conditions in (mine, theirs)]
            assert without_time[0] == without_time[1]
        elif name not in ("id", "tenant_id", "name", "tenant_name", "newest_execution", "serving_execution"):
            assert mine == theirs, name


async def test_a_drafted_life_is_written_as_a_locked_one(database: AsyncEngine) -> None:
    asked = {}
    for name, kind in (("drafted", OwnedTenant), ("locked", Locking)):
        async with statements(database) as asked[name]:
            own, execution = await owner(database, name, kind)
            await ready(own, database, execution)
    (tenant, execution, told), (other, its, also) = [await written(database, name) for name in asked]
    same(tenant, other)
    same(execution, its)
    assert (tenant.status, execution.state, tenant.observed_generation) == (Status.READY, ExecutionState.SUCCEEDED, 1)
    assert execution.ended_at is not None
    assert told == also
    assert (await chain.verify(database)).broken == ()
    transactions = {name: sum(one.startswith("BEGIN") for one in asked[name]) for name in asked}
    assert transactions == {"drafted": 2, "locked": 8}, "the intent and the switch are some in both"


async def test_a_deleted_tenant_has_the_time_of_the_database(database: AsyncEngine) -> None:
    own, execution = await owner(database, "acme")
    await own.finish(execution.id, ExecutionState.CANCELLED)
    async with database.begin() as connection:
        gone = update(tables.executions).values(action="delete", state=ExecutionState.RUNNING, ended_at=None)
        await connection.execute(gone)
        await connection.execute(update(tables.tenants).values(status=Status.DELETING))
        before = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
    await own.load()
    async with statements(database) as asked:
        await own.finish(execution.id, ExecutionState.SUCCEEDED)
    assert len(asked) == 1
    view = await tenants.get(database, "acme")
    assert view is not None
    assert (view.tenant.status, view.execution.state) == (Status.DELETED, ExecutionState.SUCCEEDED)
    assert view.tenant.deleted_at is not None
    assert view.tenant.deleted_at > before


async def test_what_a_client_wrote_meanwhile_is_kept(database: AsyncEngine) -> None:
    own, execution = await owner(database, "acme")
    await own.running(execution.id, "ref")
    await own.load()
    newer = await patch(database, "acme", spec("2"))
    assert await own.finish(execution.id, ExecutionState.SUPERSEDED) is ExecutionState.SUPERSEDED
    view = await tenants.get(database, "acme")
    ended = await executions.get(database, execution.id)
    assert view is not None
    assert ended is not None
    assert (view.tenant.generation, view.tenant.newest_execution) == (2, newer.id)
    assert ended[0].superseded_by == newer.id


@pytest.mark.parametrize("column", ["cancel_requested_at", "activations"])
async def test_an_execution_that_has_changed_is_read_again(database: AsyncEngine, column: str) -> None:
    own, execution = await owner(database, "acme")
    await own.load()
    value = 7 if column == "activations" else func.clock_timestamp()
    async with database.begin() as connection:
        await connection.execute(update(tables.executions).values({column: value}))
    async with statements(database) as asked:
        assert await own.running(execution.id, "ref")
    assert any("FOR UPDATE" in one and not one.startswith("WITH") for one in asked), "it was not locked"
    found = await executions.get(database, execution.id)
    assert found is not None
    assert getattr(found[0], column)
    assert found[0].state is ExecutionState.RUNNING


@pytest.mark.parametrize("scope", ["tenant", "all", "provider:fake", "provider:embedded"])
async def test_nothing_begins_in_a_pause_that_began_meanwhile(database: AsyncEngine, scope: str) -> None:
    tenant, execution = await create(database, "acme", spec())
    fence = await leases.acquire(database, tenant.id, cluster_id="here", actor_id="a")
    assert fence is not None
    own = OwnedTenant(database, tenant.id, fence, owner="test")
    await own.load()
    if scope == "tenant":
        async with transaction(database, actor="test") as tx:
            locked = await tenants.lock(tx, tenant.id)
            assert locked is not None
            await pauses.pause(tx, locked)
    else:
        await pauses.pause_scope(database, scope, actor="test")
    assert not await own.promote(execution.id)
    found = await executions.get(database, execution.id)
    assert found is not None
    assert found[0].state is ExecutionState.QUEUED


async def test_what_has_switched_meanwhile_is_not_failed(database: AsyncEngine) -> None:
    own, execution = await owner(database, "acme")
    await own.running(execution.id, "ref")
    await own.load()
    assert await PostgresExecutionStore(database).switch(execution.id, Observed(healthy=True))
    assert await own.finish(execution.id, ExecutionState.FAILED, "too late") is None


async def test_another_owner_is_noticed(database: AsyncEngine) -> None:
    own, execution = await owner(database, "acme")
    await own.load()
    await leases.acquire(database, own.tenant_id, cluster_id="here", actor_id="b")
    with pytest.raises(LeaseLost):
        await own.running(execution.id, "ref")


async def test_who_waited_for_the_row_writes_nothing_on_what_it_had_read(database: AsyncEngine) -> None:
    """The draft's statement has begun, and waits, when the row changes."""
    own, execution = await owner(database, "acme")
    await own.load()
    async with database.begin() as connection:
        mine = select(tables.tenants.c.id).where(tables.tenants.c.id == own.tenant_id).with_for_update()
        await connection.execute(mine)
        writing = asyncio.ensure_future(own.running(execution.id, "ref"))
        await until(lambda: waits(database))
        await connection.execute(update(tables.executions).values(state=ExecutionState.STOPPING))
        await own.load()  # by the owner's next turn: still as before that change
    assert await writing is False
    found = await executions.get(database, execution.id)
    assert found is not None
    assert found[0].state is ExecutionState.STOPPING


async def test_a_draft_waits_for_its_turn_to_tell(database: AsyncEngine) -> None:
    own, execution = await owner(database, "acme")
    await own.load()
    async with database.begin() as connection:
        await connection.execute(text(f"SELECT pg_advisory_xact_lock({EVENT_LOCK})"))
        telling = asyncio.ensure_future(own.running(execution.id, "ref"))
        await until(lambda: waits(database))
        assert not telling.done()
    assert await telling
