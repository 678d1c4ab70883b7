"""A long past for a tenant: rows as they are after many executions."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.model import Tenant

_EXECUTIONS = """
    INSERT INTO executions (id, tenant_id, tenant_name, action, generation, run, state, provider, input, spec,
                            spec_hash, trigger_source, created_at)
    SELECT :name || '-' || n, CAST(:tenant AS uuid), :name, 'update', 1, n, 'succeeded', 'embedded', '{}',
           (SELECT spec FROM tenants WHERE id = CAST(:tenant AS uuid)), '', 'supervisor', now() - interval '1 hour'
    FROM generate_series(2, CAST(:count AS integer) + 1) AS n
"""
_PLACEMENTS = """
    INSERT INTO placements (execution_id, tenant_id, provider, engine_identity, generation, run, name, state)
    SELECT id, tenant_id, CASE WHEN run = 3 THEN 'docker' ELSE 'fake' END, 'cloud', 1, run, id,
           CASE WHEN run = 5 THEN 'placed' ELSE 'removed' END
    FROM executions WHERE run > 1 AND tenant_name = :name
"""
_STEPS = """
    INSERT INTO steps (execution_id, name, position, state)
    SELECT id, 'plan', 0, 'succeeded' FROM executions WHERE run > 1 AND tenant_name = :name
"""


async def history(database: AsyncEngine, tenant: Tenant, count: int) -> None:
    """So many executions that have ended, as runs 2, 3, … of generation 1, each with a step and a placement: run 3 on
    `docker`, the others on `fake`; that of run 5 is live, the others are removed."""
    async with database.begin() as connection:
        for statement in (_EXECUTIONS, _PLACEMENTS, _STEPS):
            values = {"tenant": tenant.id, "name": tenant.name, "count": count}
            names = ("tenant", "name", "count") if statement is _EXECUTIONS else ("name",)
            await connection.execute(text(statement), {name: values[name] for name in names})
