"""Reading and changing execution rows inside a transaction."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import Float, bindparam, func, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from controlplane import tracing
from controlplane.model import ACTIVE, Action, Execution, ExecutionState, Step, Tenant, TriggerSource, execution_id
from controlplane.persistence import nodes, pages, rows, tables
from controlplane.persistence.database import single
from controlplane.persistence.drafts import Draft
from controlplane.persistence.expressions import from_now, is_one_of
from controlplane.persistence.prepared import Prepared
from controlplane.ports import ExecutionInput

_ROW = select(tables.executions)
_OF_TENANT = _ROW.where(tables.executions.c.tenant_id == bindparam("key"))
_LOCK = Prepared(_ROW.where(tables.executions.c.id == bindparam("key")).with_for_update())
_QUEUED = Prepared(_OF_TENANT.where(is_one_of(tables.executions.c.state, [ExecutionState.QUEUED])))
_ACTIVE = Prepared(_OF_TENANT.where(is_one_of(tables.executions.c.state, ACTIVE)))
_ADDED = (
    "id",
    "tenant_id",
    "tenant_name",
    "action",
    "generation",
    "run",
    "engine",
    "input",
    "spec",
    "spec_hash",
    "trigger_source",
    "fresh",
    "traceparent",
    "in_place",
    "request_id",
    "node",
)
_ADD = Prepared(
    insert(tables.executions)
    .values({name: bindparam(f"new_{name}", type_=tables.executions.c[name].type) for name in _ADDED})
    .values(state=ExecutionState.QUEUED, next_attempt_at=from_now(bindparam("delay", type_=Float)))
    .returning(tables.executions)
)
_SUPERSEDE = Prepared(
    update(tables.executions)
    .where(
        tables.executions.c.tenant_id == bindparam("key"),
        is_one_of(tables.executions.c.state, [ExecutionState.QUEUED]),
    )
    .values(
        state=ExecutionState.SUPERSEDED,
        superseded_by=bindparam("by", type_=tables.executions.c.superseded_by.type),
        ended_at=func.clock_timestamp(),
    )
    .returning(tables.executions)
)


async def lock(connection: AsyncConnection | Draft, id: str) -> Execution | None:
    """Read the row. Its tenant's row is locked already, which serialises all writes on it."""
    if isinstance(connection, Draft):
        return connection.execution(id)
    row = await _LOCK.first(connection, key=id)
    return rows.execution(row) if row else None


async def find_queued(connection: AsyncConnection | Draft, tenant_id: UUID) -> Execution | None:
    if isinstance(connection, Draft):
        return connection.queued
    return await _one(connection, _QUEUED, tenant_id)


async def find_active(connection: AsyncConnection, tenant_id: UUID) -> Execution | None:
    return await _one(connection, _ACTIVE, tenant_id)


async def _one(connection: AsyncConnection, query: Prepared, tenant_id: UUID) -> Execution | None:
    row = await query.first(connection, key=tenant_id)
    return rows.execution(row) if row else None


async def add(
    connection: AsyncConnection,
    tenant: Tenant,
    action: Action,
    *,
    trigger_source: TriggerSource,
    engine: str,
    run: int = 1,
    delay: float | None = None,
    again: Execution | None = None,
    fresh: bool = False,
    in_place: bool = False,
    request_id: str | None = None,
    without: Collection[str] = (),
) -> Execution:
    """Insert a queued execution of the tenant's generation, with its spec snapshot and its canonical input.

    `delay`: seconds before it may be promoted. `again`: an execution whose generation and snapshot are used
    instead. `fresh`: its image is pulled, even if the platform has one. `in_place`: it restarts what serves.
    `request_id`: of the request that caused it. `without`: nodes that are not chosen for it."""
    generation, spec = (tenant.generation, tenant.spec) if again is None else (again.generation, again.spec)
    first = generation == run == 1
    node = await nodes.place(connection, tenant, action, spec, engine, first=first, in_place=in_place, without=without)
    request = ExecutionInput(
        execution_id=execution_id(tenant.name, action, generation, tenant.id, run),
        tenant_id=tenant.id,
        tenant=tenant.name,
        action=action,
        generation=generation,
        run=run,
        trigger_source=trigger_source,
    )
    added = await _ADD.one(
        connection,
        new_id=request.execution_id,
        new_tenant_id=tenant.id,
        new_tenant_name=tenant.name,
        new_action=action,
        new_generation=generation,
        new_run=run,
        new_engine=engine,
        new_input=request.to_json(),
        new_spec=spec.canonical(),
        new_spec_hash=spec.hash,
        new_trigger_source=trigger_source,
        delay=delay,
        new_fresh=fresh,
        new_traceparent=tracing.traceparent(),
        new_in_place=in_place,
        new_request_id=request_id,
        new_node=node,
    )
    return rows.execution(added)


async def next_run(connection: AsyncConnection, tenant_id: UUID, generation: int) -> int:
    query = select(func.coalesce(func.max(tables.executions.c.run), 0) + 1).where(
        tables.executions.c.tenant_id == tenant_id, tables.executions.c.generation == generation
    )
    return int((await connection.execute(query)).scalar_one())


async def save(connection: AsyncConnection | Draft, execution: Execution, **values: Any) -> Execution:
    """Write columns of a locked execution; return its new state. SQL expressions are allowed as values."""
    if isinstance(connection, Draft):
        return connection.save_execution(execution, values)
    row = (
        (
            await connection.execute(
                update(tables.executions)
                .where(tables.executions.c.id == execution.id)
                .values(**values)
                .returning(tables.executions)
            )
        )
        .mappings()
        .one()
    )
    return rows.execution(row)


async def advance(
    connection: AsyncConnection | Draft, id: str, *states: ExecutionState, **values: Any
) -> Execution | None:
    """If the execution is in one of `states`, write the columns and return it; else None. Its tenant's row must be
    locked. This is one statement; `lock` and `save` are two."""
    if isinstance(connection, Draft):
        found = connection.execution(id)
        return connection.save_execution(found, values) if found.state in states else None
    query = update(tables.executions).where(tables.executions.c.id == id, tables.executions.c.state.in_(states))
    row = (await connection.execute(query.values(**values).returning(tables.executions))).mappings().one_or_none()
    return rows.execution(row) if row else None


async def supersede_queued(connection: AsyncConnection, tenant_id: UUID, by: str) -> Execution | None:
    """Mark the queued execution, if any, as overtaken by `by`. It never reached an engine, so it simply ends."""
    row = await _SUPERSEDE.first(connection, key=tenant_id, by=by)
    return rows.execution(row) if row else None


async def steps_of(connection: AsyncConnection, id: str) -> tuple[Step, ...]:
    """The recorded steps of an execution, in their order."""
    query = select(tables.steps).where(tables.steps.c.execution_id == id).order_by(tables.steps.c.position)
    return tuple(rows.step(row) for row in (await connection.execute(query)).mappings())


# --- reads for the API ------------------------------------------------------------------------------------------------


async def get(database: AsyncEngine, id: str) -> tuple[Execution, tuple[Step, ...]] | None:
    """One execution and its steps in order."""
    async with single(database) as connection:
        row = (
            (await connection.execute(select(tables.executions).where(tables.executions.c.id == id))).mappings().first()
        )
        if row is None:
            return None
        return rows.execution(row), await steps_of(connection, id)


async def page(
    database: AsyncEngine, tenant_id: UUID, *, before: tuple[int, int] | None = None, limit: int
) -> list[Execution]:
    """A tenant's executions, newest first, without the configs of their specs; only those older than (generation, run)
    `before` (keyset)."""
    order = tuple_(tables.executions.c.generation, tables.executions.c.run)
    columns = [column for column in tables.executions.c if column.name not in ("spec", "input")]
    shown = select(*columns, pages.without_config(tables.executions))
    query = shown.where(tables.executions.c.tenant_id == tenant_id)
    if before is not None:
        query = query.where(order < before)
    query = query.order_by(tables.executions.c.generation.desc(), tables.executions.c.run.desc()).limit(limit)
    async with single(database) as connection:
        return [rows.execution(row) for row in (await connection.execute(query)).mappings()]
