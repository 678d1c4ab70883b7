"""With 100,000 tenants at rest, each question that is asked again and again finds its rows by an index.

The statements are those that the code sends, with their values; Postgres says by EXPLAIN how it would find the rows.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from actors.supervisor import census as census_module
from actors.supervisor.census import Census
from controlplane.model.reach import EVERYTHING
from controlplane.persistence import (
    events,
    executions,
    fleet,
    gauges,
    idempotency,
    leases,
    resting,
    retention,
    tenants,
    totals,
)
from controlplane.persistence.execution_store import PostgresExecutionStore
from controlplane.persistence.owned_tenant import OwnedTenant
from providers.compute.fake import FakeCloud
from tests.fleet import insert_fleet, serve_fleet
from tests.integration.owner import World, spec
from tests.integration.test_growth import FEW, blocks

TENANTS = 100_000
LARGE = frozenset({"tenants", "executions", "placements", "steps", "events", "idempotency_keys"})
Asked = list[tuple[str, tuple[Any, ...]]]

_STEPS = """
    INSERT INTO steps (execution_id, name, position, state, ended_at)
    SELECT id, 'apply_compute', 1, 'succeeded', now() FROM executions
"""
_EVENTS = """
    INSERT INTO events (type, status, tenant_id, tenant_name, execution_id)
    SELECT 'tenant.status', 'ready', id, name, current_execution FROM tenants
"""
_KEYS = """
    INSERT INTO idempotency_keys (token_id, method, path, key, body_hash, status, headers, body)
    SELECT id, 'POST', '/v1/tenants', name, '', 202, '{}', '{}' FROM tenants
"""
_COUNTED = """
    INSERT INTO heartbeats (name, cluster_id, detail)
    SELECT :name, '', jsonb_build_object('through', max(id)) FROM events
"""


async def a_fleet(database: AsyncEngine) -> None:
    async with database.begin() as connection:
        for table in ("tenants", "executions", "placements", "steps", "events"):
            await connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER ALL"))
    await insert_fleet(database, TENANTS, spec("1"))
    await serve_fleet(database, "cloud")
    async with database.begin() as connection:
        for statement in (_STEPS, _EVENTS, _KEYS):
            await connection.execute(text(statement))
        await connection.execute(text(_COUNTED), {"name": totals.ROLLED_UP})
    async with database.connect() as connection:
        autocommit = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await autocommit.execute(text("VACUUM ANALYZE"))


@asynccontextmanager
async def asked(database: AsyncEngine) -> AsyncIterator[Asked]:
    """The statements of the block, each with its values."""
    seen: Asked = []

    def execute(_: object, cursor: object, statement: str, parameters: Any, *more: object) -> None:
        seen.append((statement, tuple(parameters)))

    def hear(query: Any) -> None:
        seen.append((query.query, tuple(query.args or ())))

    def watch(adapted: Any, *_: Any) -> None:
        adapted.driver_connection.add_query_logger(hear)

    await database.dispose()  # the next connections are new ones, and each is told of
    event.listen(database.sync_engine, "connect", watch)
    event.listen(database.sync_engine, "before_cursor_execute", execute)
    try:
        yield seen
    finally:
        event.remove(database.sync_engine, "connect", watch)
        event.remove(database.sync_engine, "before_cursor_execute", execute)
        await database.dispose()


async def read_as_a_whole(database: AsyncEngine, seen: Asked) -> list[str]:
    """The large tables that a plan of these statements reads from end to end."""
    found: list[str] = []
    async with database.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        for statement, values in seen:
            if statement.lstrip().startswith(("SELECT", "UPDATE", "DELETE", "INSERT", "WITH")):
                (row,) = await driver.fetch(f"EXPLAIN (FORMAT JSON) {statement}", *values)
                found += [table for table in sequential(row[0][0]["Plan"]) if table in LARGE]
    return found


def sequential(plan: dict[str, Any]) -> Iterator[str]:
    if plan["Node Type"] == "Seq Scan":
        yield plan["Relation Name"]
    for part in plan.get("Plans", ()):
        yield from sequential(part)


_PREPARED = "SELECT name, statement, cardinality(parameter_types) AS parameters FROM pg_prepared_statements"


async def planned_as_a_whole(database: AsyncEngine) -> dict[str, list[str]]:
    """The statements that a connection of this pool has sent, whose plan for any values reads large tables from end to
    end; with those tables."""
    async with database.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        sent = await driver.fetch(_PREPARED)
        assert len(sent) > 10, "it is the connection of an owner that has lived"
        whole = {}
        for name, statement, parameters in sent:
            if statement.startswith("show"):
                continue
            values = f"({', '.join(['NULL'] * parameters)})" if parameters else ""
            (row,) = await driver.fetch(f'EXPLAIN (FORMAT JSON) EXECUTE "{name}"{values}')
            if tables := LARGE & set(sequential(row[0][0]["Plan"])):
                whole[statement] = sorted(tables)
        return whole


async def test_a_hundred_thousand_tenants_are_found_by_index(
    database: AsyncEngine, database_url: str, tmp_path: Path
) -> None:
    """One fleet for both, since it takes most of the time."""
    await a_fleet(database)
    await assert_questions_use_indexes(database)
    world = World(database, database_url, tmp_path, FakeCloud())
    tenant = await world.create(spec("1"))
    async with world.owner(tenant) as owner:
        await world.settled(tenant, "ready")
        assert await planned_as_a_whole(owner.database) == {}, "an owner's plans are for any values: each is made once"


async def assert_questions_use_indexes(database: AsyncEngine) -> None:
    view = await tenants.get(database, "t-050000")
    assert view is not None
    tenant = view.tenant
    fence = await leases.acquire(database, tenant.id, cluster_id="c", actor_id="a")
    assert fence is not None
    owned, store = OwnedTenant(database, tenant.id, fence, "c/a"), PostgresExecutionStore(database)
    newest = tenant.newest_execution
    some = [tenant.id]

    async def on(work: Callable[[AsyncConnection], Awaitable[Any]]) -> None:
        async with database.connect() as connection:
            await work(connection)

    questions: dict[str, Callable[[], Awaitable[Any]]] = {
        "a tenant by its name": lambda: tenants.get(database, "t-050000"),
        "a tenant by its id": lambda: tenants.get(database, str(tenant.id)),
        "a page of tenants": lambda: tenants.page(database, reach=EVERYTHING, limit=50, after="t-050000"),
        "a page of its executions": lambda: executions.page(database, tenant.id, limit=50),
        "one execution": lambda: executions.get(database, newest),
        "a page of its events": lambda: events.page(database, tenant_id=tenant.id, limit=50),
        "a page of events": lambda: events.page(database, limit=50),
        "the newest events": lambda: on(lambda c: events.after(c, TENANTS - 10, limit=50)),
        "what its owner decides on": owned.load,
        "what a step works with": lambda: store.context(newest),
        "its heals": lambda: owned.heals_since(600),
        "its lease": lambda: leases.renew(database, tenant.id, fence),
        "who is due": lambda: fleet.due(database, "c"),
        "what places are for": lambda: fleet.places(database, ["t-050000", "t-000001"], "c"),
        "who was deleted": lambda: fleet.deleted_among(database, some),
        "what resources belong to": lambda: fleet.facts(database, [newest]),
        "what has changed": lambda: events.touched(database, TENANTS - 10, limit=census_module.CHANGES),
        "some at rest": lambda: resting.resting_among(database, some),
        "all at rest, page by page": lambda: resting.resting(database, "fake"),
        "how many there are": lambda: gauges.tenants_by_status(database),
        "whose heals are spent": lambda: gauges.heal_budgets_spent(database),
        "how much is under way": lambda: on(lambda c: gauges.gauges(c, "c")),
        "what has ended": lambda: totals.roll_up(database, providers={"fake"}, engines={"embedded"}),
        "old events": lambda: events.prune(database, older_than_seconds=86400),
        "old keys": lambda: idempotency.prune(database),
        "old tenants": lambda: retention.prune_ended(database, older_than_seconds=86400),
        "whose lease is over": lambda: fleet.silent_owners(database, "c", 15),
    }
    whole = {}
    for name, question in questions.items():
        async with asked(database) as seen:
            await question()
        assert seen, name
        whole[name] = await read_as_a_whole(database, seen)
    assert {name: tables for name, tables in whole.items() if tables} == {}


async def test_a_quiet_fleet_costs_a_sweep_a_few_blocks(database: AsyncEngine) -> None:
    await insert_fleet(database, 5_000, spec("1"))
    await serve_fleet(database, "cloud")
    census = Census(database, "fake")
    await census.look()
    assert len(list(census)) == 5_000
    assert await blocks(database, census.look()) < FEW
