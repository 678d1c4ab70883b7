"""Reading the placements of a tenant's resources."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.model import Placement
from controlplane.persistence import rows, tables
from controlplane.persistence.database import single


async def of_execution(database: AsyncEngine, execution_id: str) -> Placement | None:
    """The placement of the resource that this execution made, or is about to make."""
    query = select(tables.placements).where(tables.placements.c.execution_id == execution_id)
    async with single(database) as connection:
        row = (await connection.execute(query)).mappings().first()
    return rows.placement(row) if row else None
