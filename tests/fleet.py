"""Many tenants at once, straight into the tables: ready, each with the execution that made it so, without compute.

`serve_fleet` adds what serves them: placements, and instances of the fake cloud that match."""

import json
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.model import TenantSpec, resource_name
from controlplane.persistence import bootstrap
from controlplane.ports import Origin, ResourceState
from providers.compute.fake import FakeConfig, Instance

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


_PLACEMENTS = text(
    """
    INSERT INTO placements (execution_id, tenant_id, provider, engine_identity, generation, run, name, resource_id,
                            state)
    SELECT current_execution, id, 'fake', :identity, 1, 1,
           'landlord-' || name || '-' || right(replace(id::text, '-', ''), 8) || '-g1', 'of-' || name, 'placed'
    FROM tenants
    """
)
_SERVED = text(
    """
    UPDATE tenants SET serving_execution = current_execution, observed = jsonb_build_object(
        'endpoints', jsonb_build_array(jsonb_build_object('name', 'http', 'port', 80, 'url',
            'http://landlord-' || name || '-' || right(replace(id::text, '-', ''), 8) || '-g1.fake.invalid')),
        'resources', jsonb_build_object('instance', 'of-' || name), 'healthy', true)
    """
)


async def serve_fleet(database: AsyncEngine, identity: str) -> None:
    """All tenants that there are become served by the fake cloud of that identity."""
    async with database.begin() as connection:
        await connection.execute(text("SET LOCAL statement_timeout = 0"))
        await connection.execute(_PLACEMENTS, {"identity": identity})
        await connection.execute(_SERVED)
    async with database.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("VACUUM ANALYZE tenants, executions, placements"))


async def instances(database: AsyncEngine, spec: TenantSpec) -> list[Instance]:
    """What serves them, running, for `FakeCloud.fill`."""
    owner = await bootstrap.installation_id(database)
    config = FakeConfig.model_validate(spec.compute.config).model_dump()

    def instance(id: UUID, name: str, execution: str) -> Instance:
        origin = Origin(owner, name, id, 1, 1, execution, spec.hash)
        made = resource_name(name, id, 1, 1)
        return Instance(f"of-{name}", made, origin.labels(), config, ResourceState.RUNNING, starts=1)

    async with database.connect() as connection:
        found = await connection.execute(text("SELECT id, name, current_execution FROM tenants ORDER BY name"))
        return [instance(row.id, row.name, row.current_execution) for row in found]
