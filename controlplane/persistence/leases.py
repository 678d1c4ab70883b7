"""Leases: they say which actor owns a tenant's row. A lease guards database rows only; the database's clock decides
when it expires.

Inside one cluster the actor's name is the lock (Ray keeps names unique). So if an owner of the same cluster asks, it is
the successor of a dead one and takes over at once. Across clusters a valid lease is respected.
"""

from uuid import UUID

from sqlalchemy import bindparam, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from controlplane.lifecycle.poison import pause
from controlplane.model import ACTIVE, ClusterState
from controlplane.persistence import clusters, compatibility, expressions, tables
from controlplane.persistence.expressions import from_now, owned_elsewhere
from controlplane.persistence.prepared import Prepared

LEASE_SECONDS = expressions.LEASE_SECONDS
HEARTBEAT_SECONDS = 5


_ACQUIRE = Prepared(
    update(tables.tenants)
    .where(tables.tenants.c.id == bindparam("key"), ~owned_elsewhere(bindparam("cluster")), compatibility.is_readable())
    .values(
        fence=tables.tenants.c.fence + 1,
        lease_owner=bindparam("owner"),
        lease_expires_at=from_now(LEASE_SECONDS),
        wake_at=None,
    )
    .returning(tables.tenants.c.fence)
)
_OF_OWNER = update(tables.tenants).where(
    tables.tenants.c.id == bindparam("key"), tables.tenants.c.fence == bindparam("held")
)
_RENEW = Prepared(_OF_OWNER.values(lease_expires_at=from_now(LEASE_SECONDS)).returning(tables.tenants.c.id))
_RELEASE = Prepared(_OF_OWNER.values(lease_owner=None, lease_expires_at=None, wake_at=None))


async def acquire(database: AsyncEngine, tenant_id: UUID, *, cluster_id: str, actor_id: str) -> int | None:
    """Take the lease of a tenant; return the new fence. None: no such tenant, another live cluster owns it, or a newer
    release has written rows that this one cannot read."""
    owner = f"{cluster_id}/{actor_id}"
    found = await _ACQUIRE.alone(database, key=tenant_id, cluster=cluster_id, owner=owner)
    return found[0]["fence"] if found else None


async def renew(database: AsyncEngine, tenant_id: UUID, fence: int) -> bool:
    """Extend the lease, even an expired one if no other owner took it. False: another owner took it."""
    return bool(await _RENEW.alone(database, key=tenant_id, held=fence))


async def release(database: AsyncEngine, tenant_id: UUID, fence: int, *, wake_in: float | None = None) -> None:
    """Give the lease back on passivation. If another owner took it, do nothing. `wake_in`: seconds until the tenant is
    due again. An owner that leaves while it waits has not died, so its activation does not count."""
    if wake_in is None:
        await _RELEASE.alone(database, key=tenant_id, held=fence)
        return
    statement = _OF_OWNER.values(lease_owner=None, lease_expires_at=None, wake_at=from_now(wake_in))
    async with database.begin() as connection:
        key = {"key": tenant_id, "held": fence}
        if (await connection.execute(statement.returning(tables.tenants.c.id), key)).first() is not None:
            await _not_died(connection, tenant_id)


async def give_up(database: AsyncEngine, tenant_id: UUID, fence: int, *, at: str) -> float | None:
    """Give the lease back because turns fail, `at` that point. Returns the seconds until the tenant is due again, more
    each time; None: another owner took it."""
    of_tenant = update(tables.tenants).where(tables.tenants.c.id == tenant_id, tables.tenants.c.fence == fence)
    async with database.begin() as connection:
        departures = tables.tenants.c.departures
        left = await connection.execute(
            of_tenant.values(
                lease_owner=None, lease_expires_at=None, departures=departures + 1, failing_at=at
            ).returning(departures)
        )
        row = left.first()
        if row is None:
            return None
        seconds = pause(row.departures)
        await connection.execute(of_tenant.values(wake_at=from_now(seconds)))
        await _not_died(connection, tenant_id)
    return seconds


async def _not_died(connection: AsyncConnection, tenant_id: UUID) -> None:
    """The activation of this owner does not count: it leaves by its own will."""
    executions = tables.executions.c
    await connection.execute(
        update(tables.executions)
        .where(executions.tenant_id == tenant_id, executions.state.in_(ACTIVE), executions.activations > 0)
        .values(activations=executions.activations - 1)
    )


async def draining(database: AsyncEngine, cluster_id: str) -> bool:
    """True if this cluster must finish and activate nothing (it is draining), or is recorded as ended."""
    return await clusters.state(database, cluster_id) in (ClusterState.DRAINING, ClusterState.ENDED)
