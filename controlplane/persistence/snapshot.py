"""The rows of one tenant for decisions, read in one statement: from one moment, in one round trip."""

from typing import Any
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Select,
    Table,
    Text,
    and_,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    true,
    union,
)
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.model import ACTIVE, LIVE, ExecutionState, TenantRows
from controlplane.persistence import rows, tables
from controlplane.persistence.drafts import Seen
from controlplane.persistence.expressions import is_one_of
from controlplane.persistence.lookups import Lookup
from controlplane.persistence.paused import is_paused

_queued, _active, _placed = tables.executions.alias(), tables.executions.alias(), tables.placements.alias()
_asked_for, _worked_on = tables.executions.alias("asked_for"), tables.executions.alias("worked_on")
_KEY: BindParameter[Any] = bindparam("key")
_OF_ASKED_FOR = select(_asked_for.c.tenant_id).where(_asked_for.c.id == _KEY).scalar_subquery()


def _related_to(tenant: ColumnElement[Any], worked_on: ColumnElement[Any], *others: Select[Any]) -> Select[Any]:
    """The rows of the tenant with that id, and in each the steps of the execution `worked_on`. Each execution that
    matters is found by an index of its own: a tenant has few of them, however many it had before."""
    ours = tables.tenants.c.id == tenant
    matters = union(
        select(tables.tenants.c.newest_execution.label("id")).where(ours),
        select(tables.tenants.c.serving_execution).where(ours),
        select(_queued.c.id).where(_queued.c.tenant_id == tenant, is_one_of(_queued.c.state, [ExecutionState.QUEUED])),
        select(_active.c.id).where(_active.c.tenant_id == tenant, is_one_of(_active.c.state, ACTIVE)),
        select(_placed.c.execution_id).where(_placed.c.tenant_id == tenant, is_one_of(_placed.c.state, LIVE)),
        *others,
    ).subquery("matters")
    live = and_(tables.placements.c.execution_id == tables.executions.c.id, is_one_of(tables.placements.c.state, LIVE))
    return (
        select(
            tables.tenants,
            is_paused(),
            func.clock_timestamp().label("db_now"),
            _written(tables.tenants).label("written"),
            _written(tables.executions).label("x_written"),
            _steps_of(worked_on),
            _nodes(),
            *tables.prefixed(tables.executions, "x_"),
            *tables.prefixed(tables.placements, "p_"),
        )
        .select_from(
            tables.tenants.join(matters, true())
            .join(tables.executions, tables.executions.c.id == matters.c.id)
            .outerjoin(tables.placements, live)
        )
        .where(ours)
        .order_by(tables.executions.c.generation, tables.executions.c.run)
    )


def _written(table: Table) -> ColumnElement[str]:
    """The transaction that wrote the row as it is."""
    return cast(literal_column(f"{table.name}.xmin"), Text)


def _steps_of(execution: ColumnElement[Any]) -> ColumnElement[Any]:
    """Its steps in order, for `rows.steps`. The same for all rows, so it is asked once."""
    of_step = tables.steps.c
    in_order = aggregate_order_by(func.to_jsonb(tables.steps.table_valued()), of_step.position)
    found = select(func.jsonb_agg(in_order, type_=JSONB)).where(of_step.execution_id == execution)
    return found.scalar_subquery().label("steps")


def _nodes() -> ColumnElement[Any]:
    """For `rows.nodes`. The same for all rows, so it is asked once."""
    found = select(func.jsonb_agg(func.to_jsonb(tables.nodes.table_valued()), type_=JSONB)).select_from(tables.nodes)
    return found.scalar_subquery().label("nodes")


_OF_TENANT = Lookup(
    _related_to(
        _KEY,
        select(_worked_on.c.id)
        .where(_worked_on.c.tenant_id == _KEY, is_one_of(_worked_on.c.state, ACTIVE))
        .scalar_subquery(),
    )
)
_OF_EXECUTION = Lookup(_related_to(_OF_ASKED_FOR, _KEY, select(_asked_for.c.id).where(_asked_for.c.id == _KEY)))


async def of_execution(database: AsyncEngine, id: str) -> TenantRows | None:
    """The tenant of that execution. The execution is included, whether it still matters or not, and the
    steps are its own. None: there is no such execution."""
    return await _related(database, _OF_EXECUTION, id)


async def _related(database: AsyncEngine, query: Lookup, key: UUID | str) -> TenantRows | None:
    seen = await _seen(database, query, key)
    return None if seen is None else seen.rows


async def _seen(database: AsyncEngine, query: Lookup, key: UUID | str) -> Seen | None:
    found = await query.all(database, key=key)
    if not found:
        return None
    related = TenantRows(
        tenant=rows.tenant(found[0]),
        executions=tuple(rows.execution(rows.part(row, "x_")) for row in found),
        placements=tuple(rows.placement(rows.part(row, "p_")) for row in found if row["p_execution_id"] is not None),
        now=found[0]["db_now"],
        steps=rows.steps(found[0]["steps"]),
        nodes=rows.nodes(found[0]["nodes"]),
    )
    of_tenant = {str(related.tenant.id): found[0]["written"]}
    return Seen(related, of_tenant | {row["x_id"]: row["x_written"] for row in found})


async def load(database: AsyncEngine, tenant_id: UUID) -> Seen | None:
    """The rows for `reconcile`. None: no such tenant."""
    return await _seen(database, _OF_TENANT, tenant_id)
