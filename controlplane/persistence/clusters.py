"""Clusters. A cluster is one start of a head. At most one cluster of a home is not `ended`. A draining cluster finishes
its work, gives its tenants up and takes no others.

Called by the command on the cluster's own machine. Supervisor and actors see the mark within a sweep and a heartbeat.
"""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import cast
from uuid import uuid4

from sqlalchemy import and_, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from controlplane.model import ClusterState, EventType, Status
from controlplane.model.tolerance import word
from controlplane.persistence import tables
from controlplane.persistence.database import single
from controlplane.persistence.expressions import ago, is_leased, owned_by
from controlplane.persistence.transaction import transaction

CLUSTER_SECONDS = 120.0
"""A cluster that has not swept for this time has no processes, or none that work."""


@dataclass(frozen=True, slots=True)
class Head:
    """Where the machines of a cluster find its head: the address, and the ports of its API and of Ray's GCS."""

    address: str
    port: int
    gcs: int
    stored: bool = False
    """What the GCS knows is in a store outside: the other machines wait for a head that is lost."""


@dataclass(frozen=True, slots=True)
class Joinable:
    """A live cluster that other machines may join. `build`: of its code."""

    id: str
    build: str
    head: Head


async def announce(database: AsyncEngine, cluster_id: str, head: Head, *, build: str) -> None:
    """Say where the head of this cluster is, and which code runs there."""
    told = {"head": asdict(head), "build": build}
    statement = update(tables.clusters).where(tables.clusters.c.id == cluster_id).values(told)
    async with database.begin() as connection:
        await connection.execute(statement)


async def has_ended(database: AsyncEngine, cluster_id: str) -> bool:
    """Whether it is recorded as ended, or not at all."""
    return await state(database, cluster_id) in (ClusterState.ENDED, None)


async def joinable(database: AsyncEngine, address: str, port: int) -> Joinable | None:
    """The live cluster whose head is there. None: none of this database is."""
    clusters = tables.clusters.c
    query = (
        select(clusters.id, clusters.build, clusters.head)
        .where(
            clusters.head["address"].as_string() == address,
            clusters.head["port"].as_integer() == port,
            clusters.state != ClusterState.ENDED,
            clusters.heartbeat_at > ago(CLUSTER_SECONDS),
        )
        .order_by(clusters.started_at.desc())
        .limit(1)
    )
    try:
        async with single(database) as connection:
            row = (await connection.execute(query)).one_or_none()
    except ProgrammingError:  # a database of something else, or of a release that knew no several machines
        return None
    if row is None:
        return None
    told = {name: row.head[name] for name in ("address", "port", "gcs", "stored") if name in row.head}
    return Joinable(row.id, row.build, Head(**told))


async def take_over(database: AsyncEngine, cluster_id: str, address: str, *, actor: str) -> int:
    """Mark the other clusters whose head is at this address as ended: their leases are free at once. Returns the number
    of those that had not ended.

    For a head whose machine is known to be dead. If it lives all the same, fences and gates hold: its owners write and
    make nothing more for a tenant that another one has taken, and it activates none."""
    theirs = tables.clusters.c
    async with transaction(database, actor=actor) as tx:
        ended = (
            update(tables.clusters)
            .where(
                theirs.head["address"].as_string() == address,
                theirs.id != cluster_id,
                theirs.state != ClusterState.ENDED,
            )
            .values(state=ClusterState.ENDED, ended_at=func.clock_timestamp())
            .returning(theirs.id)
        )
        found = (await tx.connection.execute(ended)).scalars().all()
        for one in sorted(found):
            tx.record(EventType.CLUSTER_TAKEN_OVER, message=one)
    return len(found)


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
