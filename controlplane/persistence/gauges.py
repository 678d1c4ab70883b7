"""What is now, in numbers, for /metrics. What takes more than a look by index is counted by the supervisor, once a
sweep, and left with its cluster's row."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, literal, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from controlplane.model import LIVE, UNFINISHED, ClusterState, ConditionType, ExecutionState, Reason, Status
from controlplane.persistence import tables
from controlplane.persistence.clusters import CLUSTER_SECONDS
from controlplane.persistence.database import single
from controlplane.persistence.expressions import ago, is_one_of


@dataclass(frozen=True, slots=True)
class Gauges:
    """`executions`: the unfinished ones by state. `queue_seconds`: for so long the oldest queued execution has waited
    though it need not wait for a next attempt. `clusters`: the live ones by state. `sweep_seconds`: time since this
    cluster's supervisor swept, None: it never did. `figures`: what it last left."""

    executions: Mapping[str, int]
    queue_seconds: float
    clusters: Mapping[str, int]
    sweep_seconds: float | None
    figures: Mapping[str, Any]


async def tenants_by_status(database: AsyncEngine) -> dict[str, int]:
    """All that are not deleted. Reads one index, as long as there are tenants."""
    tenants = tables.tenants.c
    query = select(tenants.status, func.count().label("number")).where(tenants.deleted_at.is_(None))
    async with single(database) as connection:
        return {row.status: row.number for row in await connection.execute(query.group_by(tenants.status))}


async def tenants_on(database: AsyncEngine, platforms: Mapping[str, str]) -> dict[str, int]:
    """Tenants with a live placement on the platform of this identity, by compute provider. During a move a tenant
    counts on both. Reads all live placements, unless no platform is asked for."""
    if not platforms:
        return {}
    placements = tables.placements.c
    number = func.count(placements.tenant_id.distinct()).label("number")
    among = tuple_(placements.platform, placements.platform_identity).in_(list(platforms.items()))
    query = select(placements.platform, number).where(is_one_of(placements.state, LIVE), among)
    async with single(database) as connection:
        found = await connection.execute(query.group_by(placements.platform))
        return dict.fromkeys(platforms, 0) | {row.platform: row.number for row in found}


async def heal_budgets_spent(database: AsyncEngine) -> int:
    """Tenants that are not healed any more, because their last heals did not last. Reads those that are degraded."""
    tenants = tables.tenants.c
    spent = [{"type": ConditionType.HEALTHY.value, "reason": Reason.HEAL_BUDGET.value}]
    query = select(func.count()).where(
        tenants.deleted_at.is_(None), tenants.status == Status.DEGRADED, tenants.conditions.contains(spent)
    )
    async with single(database) as connection:
        return int((await connection.execute(query)).scalar_one())


async def leave(database: AsyncEngine, cluster_id: str, figures: Mapping[str, Any]) -> None:
    """Called by the supervisor, once a sweep. `at` is added: the time of it."""
    left = literal(dict(figures), JSONB).concat(func.jsonb_build_object("at", func.clock_timestamp()))
    async with single(database) as connection:
        await connection.execute(update(tables.clusters).where(tables.clusters.c.id == cluster_id).values(figures=left))


async def gauges(connection: AsyncConnection, cluster_id: str) -> Gauges:
    executions, queue_seconds = await _executions(connection)
    clusters = tables.clusters.c
    living = (clusters.state != ClusterState.ENDED, clusters.heartbeat_at > ago(CLUSTER_SECONDS))
    counted = await connection.execute(
        select(clusters.state, func.count().label("number")).where(*living).group_by(clusters.state)
    )
    ours = await connection.execute(
        select(
            func.extract("epoch", func.clock_timestamp() - clusters.heartbeat_at).label("seconds"), clusters.figures
        ).where(clusters.id == cluster_id, clusters.heartbeat_at > clusters.started_at)
    )
    found = ours.one_or_none()
    return Gauges(
        executions=executions,
        queue_seconds=queue_seconds,
        clusters={row.state: row.number for row in counted},
        sweep_seconds=None if found is None else float(found.seconds),
        figures={} if found is None else found.figures,
    )


async def _executions(connection: AsyncConnection) -> tuple[dict[str, int], float]:
    rows = tables.executions.c
    now = func.clock_timestamp()
    # A queued execution that was to wait has been due since then.
    due_since = func.greatest(rows.created_at, rows.next_attempt_at)
    waits_no_more = or_(rows.next_attempt_at.is_(None), rows.next_attempt_at <= now)
    query = (
        select(
            rows.state,
            func.count().label("number"),
            func.extract("epoch", now - func.min(due_since).filter(waits_no_more)).label("seconds"),
        )
        .where(is_one_of(rows.state, UNFINISHED))
        .group_by(rows.state)
    )
    found = (await connection.execute(query)).all()
    ages = [float(row.seconds) for row in found if row.state == ExecutionState.QUEUED and row.seconds is not None]
    return {row.state: row.number for row in found}, max([0.0, *ages])
