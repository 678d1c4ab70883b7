"""Reading the audit trail. The order of ids is the order of commits (see `transaction`), so a reader by id misses
nothing and sees nothing twice.

`prune` removes old events and remembers how far it went. A reader that wants to continue from before that gets an
error.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Select, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from controlplane.model import Event
from controlplane.persistence import chain, rows, tables
from controlplane.persistence.database import single
from controlplane.persistence.expressions import ago

PRUNED = "events-pruned"
"""The row of `heartbeats` that records how far the trail was pruned."""


@dataclass(frozen=True, slots=True)
class Extent:
    """`newest`: the id of the last event, 0 for none yet. `pruned`: events up to this id may be gone, 0 for none."""

    newest: int
    pruned: int


async def page(
    database: AsyncEngine, *, tenant_id: UUID | None = None, before: int | None = None, limit: int
) -> list[Event]:
    """Events before the id `before` (keyset), newest first; of one tenant, or of all."""
    query = _of(tenant_id).order_by(tables.events.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(tables.events.c.id < before)
    async with single(database) as connection:
        return [rows.event(row) for row in (await connection.execute(query)).mappings()]


async def after(connection: AsyncConnection, id: int, *, tenant_id: UUID | None = None, limit: int) -> list[Event]:
    """Events after the id `id`, oldest first."""
    query = _of(tenant_id).where(tables.events.c.id > id).order_by(tables.events.c.id).limit(limit)
    return [rows.event(row) for row in (await connection.execute(query)).mappings()]


async def extent(connection: AsyncConnection) -> Extent:
    pruned = select(tables.heartbeats.c.detail["through"].as_integer()).where(tables.heartbeats.c.name == PRUNED)
    query = select(func.coalesce(func.max(tables.events.c.id), 0), func.coalesce(pruned.scalar_subquery(), 0))
    newest, gone = (await connection.execute(query)).one()
    return Extent(newest=max(newest, gone), pruned=gone)


async def prune(database: AsyncEngine, *, older_than_seconds: float) -> int:
    """Remove events older than that; return their number. For the supervisor's sweep."""
    cutoff = ago(older_than_seconds)
    async with database.begin() as connection:
        through = (
            await connection.execute(select(func.max(tables.events.c.id)).where(tables.events.c.at < cutoff))
        ).scalar_one()
        if through is None:
            return 0
        await chain.move_anchor(connection, through)
        values: dict[str, Any] = {"detail": {"through": through}, "at": func.clock_timestamp()}
        statement = insert(tables.heartbeats).values(name=PRUNED, cluster_id="", **values)
        await connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))
        return (await connection.execute(delete(tables.events).where(tables.events.c.id <= through))).rowcount


def _of(tenant_id: UUID | None) -> Select[Any]:
    query = select(tables.events)
    return query if tenant_id is None else query.where(tables.events.c.tenant_id == tenant_id)
