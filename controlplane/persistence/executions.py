"""Reading and changing execution rows inside a transaction."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Float, Select, bindparam, func, insert, literal, select, true, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from controlplane import tracing
from controlplane.model import (
    ACTIVE,
    Action,
    Execution,
    ExecutionState,
    Step,
    Tenant,
    TenantSpec,
    TriggerSource,
    execution_id,
)
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
_NEW: dict[str, ColumnElement[Any]] = {
    **{name: bindparam(f"new_{name}", type_=tables.executions.c[name].type) for name in _ADDED},
    "state": literal(ExecutionState.QUEUED.value, tables.executions.c.state.type),
    "next_attempt_at": from_now(bindparam("delay", type_=Float)),
}
_ADD = Prepared(insert(tables.executions).values(_NEW).returning(tables.executions))


def _overtake() -> Select[Any]:
    """The insert reads what was superseded, so it comes second: a tenant has one queued execution."""
    overtaken = (
        update(tables.executions)
        .where(
            tables.executions.c.tenant_id == bindparam("new_tenant_id"),
            is_one_of(tables.executions.c.state, [ExecutionState.QUEUED]),
        )
        .values(
            state=ExecutionState.SUPERSEDED,
            superseded_by=bindparam("new_id"),
            ended_at=func.clock_timestamp(),
        )
        .returning(tables.executions)
        .cte("overtaken")
    )
    before = select(func.count().label("number")).select_from(overtaken).subquery("before")
    source = select(*_NEW.values()).select_from(before)
    added = insert(tables.executions).from_select(list(_NEW), source).returning(tables.executions).cte("added")
    columns = [column.label(f"{_OVERTAKEN}{column.name}") for column in overtaken.c]
    return select(added, *columns).select_from(added.outerjoin(overtaken, true()))


_OVERTAKEN = "overtaken_"
_OVERTAKE = Prepared(_overtake())


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
    asked = _input(tenant, action, generation, run, trigger_source)
    how = {"delay": delay, "new_fresh": fresh, "new_in_place": in_place}
    return rows.execution(await _ADD.one(connection, **_new(asked, spec, engine, node, request_id), **how))


async def overtake(
    connection: AsyncConnection,
    tenant: Tenant,
    action: Action,
    *,
    engine: str,
    run: int = 1,
    fresh: bool = False,
    request_id: str | None = None,
) -> tuple[Execution, Execution | None]:
    """As `add`, for the API, of a generation that is not the first. What was queued before ends, superseded by the new
    execution: it never reached an engine. Returns both; None: nothing was queued."""
    node = await nodes.place(connection, tenant, action, tenant.spec, engine)
    asked = _input(tenant, action, tenant.generation, run, TriggerSource.API)
    how = {"delay": None, "new_fresh": fresh, "new_in_place": False}
    row = await _OVERTAKE.one(connection, **_new(asked, tenant.spec, engine, node, request_id), **how)
    before = rows.part(row, _OVERTAKEN)
    return rows.execution(row), rows.execution(before) if before["id"] else None


def _input(tenant: Tenant, action: Action, generation: int, run: int, source: TriggerSource) -> ExecutionInput:
    id = execution_id(tenant.name, action, generation, tenant.id, run)
    return ExecutionInput(id, tenant.id, tenant.name, action, generation, run, source)


def _new(
    asked: ExecutionInput, spec: TenantSpec, engine: str, node: str | None, request_id: str | None
) -> dict[str, Any]:
    """Parameters of the statements that add an execution."""
    return {
        "new_id": asked.execution_id,
        "new_tenant_id": asked.tenant_id,
        "new_tenant_name": asked.tenant,
        "new_action": asked.action,
        "new_generation": asked.generation,
        "new_run": asked.run,
        "new_engine": engine,
        "new_input": asked.to_json(),
        "new_spec": spec.canonical(),
        "new_spec_hash": spec.hash,
        "new_trigger_source": asked.trigger_source,
        "new_traceparent": tracing.traceparent(),
        "new_request_id": request_id,
        "new_node": node,
    }


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
