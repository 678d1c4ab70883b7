"""Clusters. A cluster is one start of a head. At most one cluster of a home is not `ended`. A draining cluster finishes
its work, gives its tenants up and takes no others.

Called by the command on the cluster's own machine. Supervisor and actors see the mark within a sweep and a heartbeat.
"""

from datetime import datetime
from typing import cast
from uuid import uuid4

from sqlalchemy import and_, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from controlplane.model import ClusterState, EventType, Status
from controlplane.model.tolerance import word
from controlplane.persistence import tables
from controlplane.persistence.database import single
from controlplane.persistence.expressions import ago, is_leased, owned_by
from controlplane.persistence.transaction import transaction

CLUSTER_SECONDS = 120.0
"""A cluster that has not swept for this time has no processes, or none that work."""


async def register(
    connection: AsyncConnection, *, home: str, before: str | None, build: str, id: str | None = None
) -> str:
    """Register a new cluster of this home, and mark its earlier ones as ended: those that bear its word, and the one
    with the id `before`. Returns the new id. `id`: that of a cluster whose processes know it already, or None; it may
    be registered before."""
    of_this_home = or_(tables.clusters.c.home == home, tables.clusters.c.id == before)
    await connection.execute(
        update(tables.clusters)
        .where(of_this_home, tables.clusters.c.state != ClusterState.ENDED)
        .values(state=ClusterState.ENDED, ended_at=func.clock_timestamp())
    )
    cluster_id = id or uuid4().hex[:12]
    # Until its supervisor has swept, its heartbeat is its start.
    values = {"home": home, "build": build, "started_at": func.now(), "heartbeat_at": func.now()}
    again = values | {"state": ClusterState.ACTIVE, "ended_at": None}
    new = upsert(tables.clusters).values(id=cluster_id, **values)
    await connection.execute(new.on_conflict_do_update(index_elements=[tables.clusters.c.id], set_=again))
    return cluster_id


async def others(connection: AsyncConnection, *, home: str, cluster_id: str | None) -> int:
    """The number of live clusters of other homes on this database: each that has not ended and has swept lately.
    `cluster_id`: one that is not another, whatever home it names."""
    clusters = tables.clusters.c
    query = select(func.count()).where(
        clusters.home != home,
        clusters.id != (cluster_id or ""),
        clusters.state != ClusterState.ENDED,
        clusters.heartbeat_at > ago(CLUSTER_SECONDS),
    )
    return int((await connection.execute(query)).scalar_one())


async def live(database: AsyncEngine, cluster_id: str) -> int:
    """The number of clusters that share the database with this one, itself included."""
    async with single(database) as connection:
        return 1 + await others(connection, home="", cluster_id=cluster_id)


async def is_youngest(database: AsyncEngine, cluster_id: str) -> bool:
    """Whether no live cluster of this database was started after this one. Of all clusters that are live and look at
    the same time, one is."""
    clusters = tables.clusters.c
    own = tables.clusters.alias().c
    younger = exists().where(
        own.id == cluster_id,
        or_(clusters.started_at > own.started_at, and_(clusters.started_at == own.started_at, clusters.id > own.id)),
        clusters.state != ClusterState.ENDED,
        clusters.heartbeat_at > ago(CLUSTER_SECONDS),
    )
    async with single(database) as connection:
        return not (await connection.execute(select(younger))).scalar_one()


async def last_beat(connection: AsyncConnection, cluster_id: str) -> float | None:
    """Seconds since this cluster's supervisor swept. None: it never did, or the cluster has ended."""
    clusters = tables.clusters.c
    age = func.extract("epoch", func.clock_timestamp() - clusters.heartbeat_at)
    query = select(age).where(
        clusters.id == cluster_id, clusters.state != ClusterState.ENDED, clusters.heartbeat_at > clusters.started_at
    )
    found = (await connection.execute(query)).scalar_one_or_none()
    return None if found is None else float(found)


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
        is_leased(),
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
