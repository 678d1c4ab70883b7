"""The rows of one tenant for decisions, read in one statement: from one moment, in one round trip."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, bindparam, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.model import LIVE, UNFINISHED, TenantRows
from controlplane.persistence import rows, tables
from controlplane.persistence.executions import steps_of
from controlplane.persistence.tenants import is_paused

_RELATED = (
    select(
        tables.tenants,
        is_paused(),
        func.clock_timestamp().label("db_now"),
        *tables.prefixed(tables.executions, "x_"),
        *tables.prefixed(tables.placements, "p_"),
    )
    .select_from(
        tables.tenants.join(tables.executions, tables.executions.c.tenant_id == tables.tenants.c.id).outerjoin(
            tables.placements,
            and_(tables.placements.c.execution_id == tables.executions.c.id, tables.placements.c.state.in_(LIVE)),
        )
    )
    .order_by(tables.executions.c.generation, tables.executions.c.run)
)
_MATTERS = (
    tables.executions.c.id == tables.tenants.c.newest_execution,
    tables.executions.c.id == tables.tenants.c.serving_execution,
    tables.executions.c.state.in_(UNFINISHED),
    tables.placements.c.execution_id.is_not(None),
)
_asked_for = tables.executions.alias("asked_for")
# Built once: assembling the statement costs more than running it.
_OF_TENANT = _RELATED.where(tables.tenants.c.id == bindparam("key"), or_(*_MATTERS))
_OF_EXECUTION = _RELATED.where(
    tables.tenants.c.id == select(_asked_for.c.tenant_id).where(_asked_for.c.id == bindparam("key")).scalar_subquery(),
    or_(*_MATTERS, tables.executions.c.id == bindparam("key")),
)


async def of_execution(connection: AsyncConnection, id: str) -> TenantRows | None:
    """The tenant of that execution. The execution is included, whether it still matters or not. None: there is no such
    execution."""
    return await _related(connection, _OF_EXECUTION, id)


async def _related(connection: AsyncConnection, query: Select[Any], key: UUID | str) -> TenantRows | None:
    found = (await connection.execute(query, {"key": key})).mappings().all()
    if not found:
        return None
    return TenantRows(
        tenant=rows.tenant(found[0]),
        executions=tuple(rows.execution(rows.part(row, "x_")) for row in found),
        placements=tuple(rows.placement(rows.part(row, "p_")) for row in found if row["p_execution_id"] is not None),
        now=found[0]["db_now"],
    )


async def load(connection: AsyncConnection, tenant_id: UUID) -> TenantRows | None:
    """The rows for `reconcile`. None: no such tenant."""
    found = await _related(connection, _OF_TENANT, tenant_id)
    if found is None:
        return None
    if found.active is None:
        return found
    return replace(found, steps=await steps_of(connection, found.active.id))
