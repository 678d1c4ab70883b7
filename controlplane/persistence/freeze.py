"""Pause and resume: intents are accepted, nothing acts, and a condition says so."""

from sqlalchemy import func, select

from controlplane.conditions import with_condition
from controlplane.model import Tenant, TriggerSource
from controlplane.persistence import tenants
from controlplane.persistence.transaction import Transaction


async def pause(tx: Transaction, tenant: Tenant) -> Tenant:
    """Nothing new is begun for a locked tenant; what is under way ends. Paused again, it stays as it was."""
    if tenant.paused:
        return tenant
    message = "paused: changes are accepted, nothing is done"
    return await _set(tx, tenant, True, "tenant.paused", ("false", "Paused", message))


async def resume(tx: Transaction, tenant: Tenant) -> Tenant:
    """What was asked for meanwhile is done now."""
    if not tenant.paused:
        return tenant
    synced = tenant.observed_generation == tenant.generation
    return await _set(tx, tenant, False, "tenant.resumed", ("true" if synced else "false", "Resumed", ""))


async def _set(tx: Transaction, tenant: Tenant, paused: bool, event: str, synced: tuple[str, str, str]) -> Tenant:
    now = (await tx.connection.execute(select(func.clock_timestamp()))).scalar_one()
    truth, reason, message = synced
    conditions = with_condition(tenant.conditions, "Synced", truth, reason, now, message)  # type: ignore[arg-type]
    tenant = await tenants.save(tx.connection, tenant, paused=paused, conditions=conditions)
    tx.event(event, tenant, trigger_source=TriggerSource.API)
    tx.wake(tenant.id, tenant.name)
    return tenant
