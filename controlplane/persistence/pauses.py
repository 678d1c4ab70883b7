"""Pause and resume: intents are accepted, nothing acts, and a condition says so."""

from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.lifecycle.conditions import with_condition
from controlplane.model import ConditionType, EventType, Reason, Tenant, Truth
from controlplane.persistence import tables, tenants
from controlplane.persistence.database import single
from controlplane.persistence.transaction import Transaction, transaction


async def pause(tx: Transaction, tenant: Tenant) -> Tenant:
    """Pause a locked tenant: nothing new begins, running work ends. Pausing it twice is success."""
    if tenant.paused:
        return tenant
    message = "paused: changes are accepted, nothing is done"
    return await _set(tx, tenant, True, EventType.TENANT_PAUSED, ("false", Reason.PAUSED, message))


async def resume(tx: Transaction, tenant: Tenant) -> Tenant:
    """Resume a locked tenant: changes stored during the pause are carried out now."""
    if not tenant.paused:
        return tenant
    synced = tenant.observed_generation == tenant.generation
    return await _set(tx, tenant, False, EventType.TENANT_RESUMED, ("true" if synced else "false", Reason.RESUMED, ""))


async def pause_scope(database: AsyncEngine, scope: str, *, actor: str, token_id: UUID | None = None) -> None:
    """Pause `all`, or `provider:<name>`. Pausing it twice is success."""
    async with transaction(database, actor=actor, token_id=token_id) as tx:
        await tx.connection.execute(upsert(tables.pauses).values(scope=scope).on_conflict_do_nothing())
        tx.record(EventType.PAUSE_SET, message=scope)


async def resume_scope(database: AsyncEngine, scope: str, *, actor: str, token_id: UUID | None = None) -> None:
    """End that pause; the supervisor's next sweep finds all due work. If it is not paused, that is success."""
    async with transaction(database, actor=actor, token_id=token_id) as tx:
        await tx.connection.execute(delete(tables.pauses).where(tables.pauses.c.scope == scope))
        tx.record(EventType.PAUSE_LIFTED, message=scope)


async def scopes(database: AsyncEngine) -> list[str]:
    """The pauses that cover more than single tenants."""
    async with single(database) as connection:
        return list((await connection.execute(select(tables.pauses.c.scope).order_by(tables.pauses.c.scope))).scalars())


async def _set(
    tx: Transaction, tenant: Tenant, paused: bool, event: EventType, synced: tuple[Truth, Reason, str]
) -> Tenant:
    truth, reason, message = synced
    conditions = with_condition(tenant.conditions, ConditionType.SYNCED, truth, reason, tx.now, message)
    tenant = await tenants.save(tx.connection, tenant, paused=paused, conditions=conditions)
    tx.event(event, tenant)
    tx.wake(tenant.id, tenant.name)
    return tenant
