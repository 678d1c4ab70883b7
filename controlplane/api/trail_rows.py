"""The door to the audit trail for routes and watches: events of tenants that the caller's token reaches.

Events of no tenant (tokens, pauses, clusters) are only for tokens that reach all tenants."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.model import Event
from controlplane.persistence import events
from controlplane.persistence.pages import Page
from controlplane.persistence.tokens import Token


async def page(
    database: AsyncEngine, token: Token, *, tenant_id: UUID | None, before: int | None, limit: int
) -> Page[Event]:
    """As `events.bounded_page`. `tenant_id`: of a tenant that was found by `tenant_rows`."""
    return await events.bounded_page(database, reach=token.reach, tenant_id=tenant_id, before=before, limit=limit)


async def after(database: AsyncEngine, token: Token, id: int, *, tenant_id: UUID | None, limit: int) -> list[Event]:
    """As `events.after`."""
    async with database.connect() as connection:
        return await events.after(connection, id, reach=token.reach, tenant_id=tenant_id, limit=limit)
