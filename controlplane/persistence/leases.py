"""Leases: which actor owns a tenant's row. Guards database rows only; expiry is told by the database's clock.

Inside one cluster the actor's name is the lock (Ray keeps names unique), so an owner of the same cluster that asks is
the successor of a dead one and takes over at once. Across clusters a valid lease is respected.
"""

from uuid import UUID

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.model import ACTIVE, ClusterState
from controlplane.persistence import clusters, tables
from controlplane.persistence.expressions import from_now, owned_elsewhere

LEASE_SECONDS = 15
HEARTBEAT_SECONDS = 5


async def acquire(database: AsyncEngine, tenant_id: UUID, *, cluster_id: str, actor_id: str) -> int | None:
    """Take the lease of a tenant; returns the new fence. None: no such tenant, or another live cluster owns it."""
    async with database.begin() as connection:
        row = (
            await connection.execute(
                update(tables.tenants)
                .where(tables.tenants.c.id == tenant_id, ~owned_elsewhere(cluster_id))
                .values(
                    fence=tables.tenants.c.fence + 1,
                    lease_owner=f"{cluster_id}/{actor_id}",
                    lease_expires_at=from_now(LEASE_SECONDS),
                    wake_at=None,
                )
                .returning(tables.tenants.c.fence)
            )
        ).first()
    return row.fence if row else None


async def renew(database: AsyncEngine, tenant_id: UUID, fence: int) -> bool:
    """Push the expiry out; also of an expired lease that nobody took. False: another owner took it."""
    async with database.begin() as connection:
        result = await connection.execute(
            update(tables.tenants)
            .where(tables.tenants.c.id == tenant_id, tables.tenants.c.fence == fence)
            .values(lease_expires_at=from_now(LEASE_SECONDS))
            .returning(tables.tenants.c.id)
        )
        return result.first() is not None


async def release(database: AsyncEngine, tenant_id: UUID, fence: int, *, wake_in: float | None = None) -> None:
    """Give it back on passivation; nothing if it was taken. `wake_in`: seconds until the tenant is due again; the owner
    that leaves while it waits is no owner that died, so its activation does not count."""
    wake_at = None if wake_in is None else from_now(wake_in)
    async with database.begin() as connection:
        released = await connection.execute(
            update(tables.tenants)
            .where(tables.tenants.c.id == tenant_id, tables.tenants.c.fence == fence)
            .values(lease_owner=None, lease_expires_at=None, wake_at=wake_at)
            .returning(tables.tenants.c.id)
        )
        if wake_in is not None and released.first() is not None:
            executions = tables.executions.c
            await connection.execute(
                update(tables.executions)
                .where(executions.tenant_id == tenant_id, executions.state.in_(ACTIVE), executions.activations > 0)
                .values(activations=executions.activations - 1)
            )


async def draining(database: AsyncEngine, cluster_id: str) -> bool:
    """True when this cluster was told to finish and activate nothing, or is recorded as ended."""
    return await clusters.state(database, cluster_id) in (ClusterState.DRAINING, ClusterState.ENDED)
