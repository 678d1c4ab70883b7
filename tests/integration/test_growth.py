"""No question to the rows costs more because much was done before: a million events, 10,000 executions of one tenant.

Cost is counted in blocks that the database reads, found in memory or not: that does not depend on the machine.
"""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from controlplane.model.reach import EVERYTHING
from controlplane.persistence import events, executions, fleet, gauges, leases, retention, tenants, totals
from controlplane.persistence.execution_store import PostgresExecutionStore
from controlplane.persistence.owned_tenant import OwnedTenant
from controlplane.persistence.resting import resting
from tests.integration.history import history
from tests.integration.owner import create, spec

TENANT = UUID("0190c8c6-0000-7000-8000-00009f8e7d6c")


async def blocks(database: AsyncEngine, work: Awaitable[Any]) -> int:
    """How many blocks of tables and indexes `work` reads."""

    async def count() -> int:
        async with database.connect() as connection:
            return int(
                (
                    await connection.execute(
                        text(
                            "SELECT sum(heap_blks_read + heap_blks_hit + coalesce(idx_blks_read, 0) "
                            "+ coalesce(idx_blks_hit, 0)) FROM pg_statio_user_tables"
                        )
                    )
                ).scalar_one()
            )

    await database.dispose()  # a session's counts are there for others when it ends
    before = await count()
    await work
    await database.dispose()
    return await count() - before


async def a_million_events(database: AsyncEngine) -> None:
    """Of yesterday; each tenth is one tenant's. Without their hashes, which take longer than the test."""
    async with database.begin() as connection:
        await connection.execute(text("ALTER TABLE events DISABLE TRIGGER USER"))
        await connection.execute(
            text(
                "INSERT INTO events (type, status, tenant_id, at) "
                "SELECT 'tenant.status', 'degraded', CASE WHEN n % 10 = 0 THEN CAST(:tenant AS uuid) END, "
                "now() - interval '1 day' FROM generate_series(1, 1000000) AS n"
            ),
            {"tenant": TENANT},
        )


async def vacuum(database: AsyncEngine) -> None:
    """As Postgres does by itself, sooner or later."""
    async with database.connect() as connection:
        autocommit = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await autocommit.execute(text("VACUUM ANALYZE"))


FEW = 200
"""Blocks. What is found by an index takes some dozens, however long the past is; reading the past takes thousands."""


async def test_no_question_reads_the_past(database: AsyncEngine) -> None:
    await a_million_events(database)
    tenant, execution = await create(database, "acme", spec("1"))
    async with database.begin() as connection:
        values = {"id": TENANT, "was": tenant.id}
        await connection.execute(
            text("UPDATE tenants SET serving_execution = 'acme-7' WHERE id = :was"), {"was": tenant.id}
        )
        await connection.execute(text("UPDATE events SET tenant_id = :was WHERE tenant_id = :id"), values)
        counted = (
            "INSERT INTO heartbeats (name, cluster_id, detail) SELECT :name, '', jsonb_build_object('through', max(id))"
        )
        await connection.execute(text(f"{counted} FROM events"), {"name": totals.ROLLED_UP})
    await history(database, tenant, 10_000)
    await vacuum(database)
    fence = await leases.acquire(database, tenant.id, cluster_id="c", actor_id="a")
    assert fence is not None
    owned, store = OwnedTenant(database, tenant.id, fence, "c/a"), PostgresExecutionStore(database)
    await store.context("acme-9000")  # the installation's id is read once

    async def on(work: Callable[[AsyncConnection], Awaitable[Any]]) -> None:
        async with database.connect() as connection:
            await work(connection)

    questions: dict[str, Callable[[], Awaitable[Any]]] = {
        "what its owner decides on": owned.load,
        "what a step works with": lambda: store.context("acme-9000"),
        "where it ever was": lambda: store.providers_used("acme-9000"),
        "its heals": lambda: owned.heals_since(600),
        "its degradations": lambda: owned.degradations_since(600),
        "its next run": lambda: on(lambda c: executions.next_run(c, tenant.id, 1)),
        "its queued execution": lambda: on(lambda c: executions.find_queued(c, tenant.id)),
        "its active execution": lambda: on(lambda c: executions.find_active(c, tenant.id)),
        "itself": lambda: tenants.get(database, "acme"),
        "a page of tenants": lambda: tenants.page(database, reach=EVERYTHING, limit=50),
        "a page of its executions": lambda: executions.page(database, tenant.id, limit=50),
        "one execution": lambda: executions.get(database, execution.id),
        "a page of its events": lambda: events.page(database, tenant_id=tenant.id, limit=50),
        "a page of events": lambda: events.page(database, limit=50),
        "how far the trail goes": lambda: on(events.extent),
        "who is due": lambda: fleet.due(database, "c"),
        "who rests": lambda: resting(database),
        "what has ended": lambda: totals.roll_up(database, providers={"fake"}, engines={"embedded"}),
        "the totals of what ended": lambda: on(totals.all_totals),
        "how much is under way": lambda: on(lambda c: gauges.gauges(c, "c")),
        "what is old of the trail": lambda: events.prune(database, older_than_seconds=90 * 86400),
        "what ended long ago": lambda: retention.prune_ended(database, older_than_seconds=90 * 86400),
    }
    cost = {}
    for name, question in questions.items():
        for _ in range(6):
            await question()  # the sixth time, Postgres may keep a plan that knows no parameter
        cost[name] = await blocks(database, question())
    assert {name: count for name, count in cost.items() if count > FEW} == {}
    removed = await retention.prune_history(database, keep=50)
    assert removed == 10_000 - 50 - 3, "all but the newest 50, and runs 3, 5 and 7"
    await vacuum(database)
    assert await blocks(database, retention.prune_history(database, keep=50)) < FEW
