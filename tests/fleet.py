"""Many tenants at once, straight into the tables: ready, each with the execution that made it so, without compute."""

import json

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.model import TenantSpec

_TENANTS = text(
    """
    INSERT INTO tenants (id, name, labels, spec, status, observed_generation, current_execution)
    SELECT id, name, jsonb_build_object('shard', (number % 1000)::text), CAST(:spec AS jsonb), 'ready', 1,
           'tenant-' || name || '-provision-1-' || right(replace(id::text, '-', ''), 8)
    FROM (SELECT gen_random_uuid() AS id, :prefix || lpad(number::text, 6, '0') AS name, number
          FROM generate_series(0, :count - 1) AS number) AS numbered
    """
)
_EXECUTIONS = text(
    """
    INSERT INTO executions (id, tenant_id, tenant_name, action, generation, run, state, sub_state, provider, input,
                            spec, spec_hash, trigger_source, started_at, ended_at)
    SELECT current_execution, id, name, 'provision', 1, 1, 'succeeded', 'succeeded', 'embedded', '{}', spec, :hash,
           'api', created_at, created_at
    FROM tenants WHERE name LIKE :prefix || '%'
    """
)


async def insert_fleet(database: AsyncEngine, count: int, spec: TenantSpec, prefix: str = "t-") -> None:
    """Tenants `t-000000` and on, in this order."""
    async with database.begin() as connection:
        # One statement of the API never takes so long as these may.
        await connection.execute(text("SET LOCAL statement_timeout = 0"))
        parameters = {"prefix": prefix, "count": count, "spec": json.dumps(spec.canonical())}
        await connection.execute(_TENANTS, parameters)
        await connection.execute(_EXECUTIONS, {"prefix": prefix, "hash": spec.hash})
    async with database.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("ANALYZE tenants, executions"))
