"""Clusters. A cluster is one start of a head. At most one cluster of a home is not `ended`. A draining cluster finishes
its work, gives its tenants up and takes no others.

Called by the command on the cluster's own machine. Supervisor and actors see the mark within a sweep and a heartbeat.
"""

from datetime import datetime
from typing import cast

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.model import ClusterState, EventType, Status
from controlplane.model.tolerance import word
from controlplane.persistence import tables
from controlplane.persistence.database import single
from controlplane.persistence.expressions import owned_by
from controlplane.persistence.transaction import transaction


async def state(database: AsyncEngine, cluster_id: str) -> ClusterState | None:
    """The cluster's state. None: no such cluster."""
    async with single(database) as connection:
        found = (
            await connection.execute(select(tables.clusters.c.state).where(tables.clusters.c.id == cluster_id))
        ).scalar()
    return None if found is None else word(ClusterState, found)


async def drain(database: AsyncEngine, cluster_id: str, *, actor: str) -> datetime | None:
    """Mark the cluster as draining; return the database's time. Marking it twice is success. None: it has ended, or
    does not exist."""
    return await _mark(database, cluster_id, ClusterState.DRAINING, EventType.CLUSTER_DRAINING, actor)


async def undrain(database: AsyncEngine, cluster_id: str, *, actor: str) -> bool:
    """Remove the mark. False: the cluster was not draining."""
    if await state(database, cluster_id) is not ClusterState.DRAINING:
        return False
    return await _mark(database, cluster_id, ClusterState.ACTIVE, EventType.CLUSTER_ACTIVE, actor) is not None


async def left(database: AsyncEngine, cluster_id: str, *, since: datetime) -> int | None:
    """The number of tenants that it still owns. None: its supervisor has not looked at the mark since then, and may
    still admit tenants."""
    owned = select(func.count()).where(
        owned_by(cluster_id),
        tables.tenants.c.lease_expires_at >= func.clock_timestamp(),
        tables.tenants.c.status != Status.DELETED,
    )
    seen = select(tables.clusters.c.heartbeat_at > since).where(tables.clusters.c.id == cluster_id)
    async with single(database) as connection:
        if not (await connection.execute(seen)).scalar():
            return None
        return int((await connection.execute(owned)).scalar_one())


async def _mark(
    database: AsyncEngine, cluster_id: str, to: ClusterState, event: EventType, actor: str
) -> datetime | None:
    async with transaction(database, actor=actor) as tx:
        query = select(tables.clusters.c.state, func.clock_timestamp().label("now")).where(
            tables.clusters.c.id == cluster_id
        )
        row = (await tx.connection.execute(query.with_for_update())).one_or_none()
        if row is None or row.state not in (ClusterState.ACTIVE, ClusterState.DRAINING):
            return None
        if row.state != to:
            await tx.connection.execute(
                update(tables.clusters).where(tables.clusters.c.id == cluster_id).values(state=to)
            )
            tx.record(event, message=cluster_id)
    return cast(datetime, row.now)
