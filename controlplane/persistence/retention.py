"""Old rows are removed, from the low end and in batches: executions beyond a number for each tenant, and what ended
long ago: deleted tenants, clusters, tokens. (Events and idempotency keys have modules of their own.)

Each call looks where the oldest rows are, by index. So it costs what it removes, not what stays.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, delete, exists, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from controlplane.model import LIVE, TERMINAL, ClusterState
from controlplane.persistence import tables
from controlplane.persistence.expressions import ago, is_one_of

TENANTS = 500
"""Looked at in one transaction."""
BATCH = 1_000
"""Executions removed in one transaction, and what hangs on them."""
AT_ONCE = 20 * BATCH
"""Rows of one call: the next one continues."""

DAY = 86400.0


async def prune_history(database: AsyncEngine, *, keep: int) -> int:
    """Of each tenant's executions, remove those that have ended, beyond the newest `keep`, with their steps and
    placements; return their number, at most about AT_ONCE. Those that matter stay (see `_matters`)."""
    removed, after = 0, None
    while removed < AT_ONCE:
        async with database.begin() as connection:
            found = await _next_tenants(connection, after)
            if not found:
                break
            count = await _remove(connection, _surplus(found, keep))
        removed += count
        if count < BATCH:
            after = found[-1]
    return removed


async def prune_ended(database: AsyncEngine, *, older_than_seconds: float) -> int:
    """Remove tenants that were deleted longer ago than that, with all their executions; clusters that ended or fell
    silent; tokens that were revoked or expired. Return the number of rows, at most about AT_ONCE."""
    removed = 0
    while removed < AT_ONCE:
        async with database.begin() as connection:
            count = await _remove_deleted(connection, older_than_seconds)
        removed += count
        if count < BATCH:
            break
    async with database.begin() as connection:
        removed += (await connection.execute(delete(tables.clusters).where(*_old_cluster(older_than_seconds)))).rowcount
        removed += (await connection.execute(delete(tables.tokens).where(_old_token(older_than_seconds)))).rowcount
    return removed


async def _next_tenants(connection: AsyncConnection, after: UUID | None) -> list[UUID]:
    query = select(tables.tenants.c.id).order_by(tables.tenants.c.id).limit(TENANTS)
    if after is not None:
        query = query.where(tables.tenants.c.id > after)
    return list((await connection.execute(query)).scalars())


def _surplus(tenant_ids: list[UUID], keep: int) -> Select[Any]:
    """Ids of the executions of these tenants that may go, at most BATCH."""
    tenants, newer = tables.tenants, tables.executions.alias("newer")
    boundary = (
        select(newer.c.generation, newer.c.run)
        .where(newer.c.tenant_id == tenants.c.id)
        .order_by(newer.c.generation.desc(), newer.c.run.desc())
        .offset(keep)
        .limit(1)
        .lateral("boundary")
    )
    old = tables.executions.alias("old")
    return (
        select(old.c.id)
        .select_from(
            tenants.join(boundary, tenants.c.id.is_not(None)).join(
                old,
                and_(
                    old.c.tenant_id == tenants.c.id,
                    tuple_(old.c.generation, old.c.run) <= tuple_(boundary.c.generation, boundary.c.run),
                ),
            )
        )
        .where(tenants.c.id.in_(tenant_ids), is_one_of(old.c.state, TERMINAL), ~_matters(old))
        .limit(BATCH)
    )


def _matters(execution: Any) -> ColumnElement[bool]:
    """Of an execution of `tenants`: it answers for the tenant or serves it, it may hold a resource, or no newer one was
    placed by its provider, of which the tenant may have belongings.

    Each question is asked of one row by its key: as `EXISTS` they would be answered for the whole table first."""
    placed, later = tables.placements.alias("placed"), tables.placements.alias("later")
    newer = (
        select(later.c.run)
        .where(
            later.c.tenant_id == placed.c.tenant_id,
            later.c.platform == placed.c.platform,
            tuple_(later.c.generation, later.c.run) > tuple_(placed.c.generation, placed.c.run),
        )
        .order_by(later.c.generation, later.c.run)
        .limit(1)
        .scalar_subquery()
    )
    holds = select(or_(is_one_of(placed.c.state, LIVE), newer.is_(None))).where(placed.c.execution_id == execution.c.id)
    return or_(
        execution.c.id == tables.tenants.c.newest_execution,
        and_(tables.tenants.c.serving_execution.is_not(None), execution.c.id == tables.tenants.c.serving_execution),
        func.coalesce(holds.scalar_subquery(), False),
    )


async def _remove(connection: AsyncConnection, executions: Select[Any]) -> int:
    """These executions, and what hangs on them; their number."""
    ids = list((await connection.execute(executions)).scalars())
    if ids:
        for table in (tables.steps, tables.placements):
            await connection.execute(delete(table).where(table.c.execution_id.in_(ids)))
        await connection.execute(delete(tables.executions).where(tables.executions.c.id.in_(ids)))
    return len(ids)


async def _remove_deleted(connection: AsyncConnection, seconds: float) -> int:
    """The tenants that were deleted first. One with a long history loses that first, batch by batch."""
    oldest = (
        select(tables.tenants.c.id)
        .where(tables.tenants.c.deleted_at < ago(seconds))
        .order_by(tables.tenants.c.deleted_at)
        .limit(TENANTS)
        .with_for_update(skip_locked=True)
    )
    ids = list((await connection.execute(oldest)).scalars())
    if not ids:
        return 0
    theirs = select(tables.executions.c.id).where(tables.executions.c.tenant_id.in_(ids)).limit(BATCH)
    if (count := await _remove(connection, theirs)) == BATCH:
        return count
    gone = await connection.execute(delete(tables.tenants).where(tables.tenants.c.id.in_(ids)))
    return BATCH if gone.rowcount == TENANTS else count + gone.rowcount


def _old_cluster(seconds: float) -> tuple[ColumnElement[bool], ...]:
    clusters = tables.clusters.c
    owns = exists().where(
        tables.tenants.c.lease_owner.is_not(None),  # those are few, and have an index
        func.split_part(tables.tenants.c.lease_owner, "/", 1) == clusters.id,
    )
    return (
        clusters.heartbeat_at < ago(seconds),
        or_(clusters.state != ClusterState.ENDED, clusters.ended_at < ago(seconds)),
        ~owns,
    )


def _old_token(seconds: float) -> ColumnElement[bool]:
    return or_(tables.tokens.c.revoked_at < ago(seconds), tables.tokens.c.expires_at < ago(seconds))
