"""What is old goes, and nothing else, whatever the clock did; in batches."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.supervisor.retention import Retention
from controlplane.model import Tenant
from controlplane.persistence import events, executions, idempotency, retention
from controlplane.persistence.execution_store import PostgresExecutionStore
from controlplane.settings import Settings
from tests.integration.history import history
from tests.integration.owner import create, spec

DAYS = 86400.0


async def write(database: AsyncEngine, *ages: float) -> list[int]:
    """One event for each age in days, in this order; their ids."""
    async with database.begin() as connection:
        return [
            (
                await connection.execute(
                    text(
                        "INSERT INTO events (type, at) VALUES ('t', now() - make_interval(secs => :age)) RETURNING id"
                    ),
                    {"age": age * DAYS},
                )
            ).scalar_one()
            for age in ages
        ]


async def left(database: AsyncEngine) -> list[int]:
    async with database.connect() as connection:
        return list((await connection.execute(text("SELECT id FROM events ORDER BY id"))).scalars())


async def test_an_event_with_an_early_timestamp_takes_none_with_it(database: AsyncEngine) -> None:
    """The clock stepped back to 1970 for one event, the newest."""
    ids = await write(database, 120, 100, 80, 10, 0, 56 * 365)
    assert await events.prune(database, older_than_seconds=90 * DAYS) == 2
    assert await left(database) == ids[2:]
    async with database.connect() as connection:
        assert (await events.extent(connection)).pruned == ids[1]
    assert await events.prune(database, older_than_seconds=90 * DAYS) == 0


async def test_events_from_the_future_hold_up_nothing(database: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "BATCH", 3)
    monkeypatch.setattr(events, "AT_ONCE", 100)
    ids = await write(database, -400, -400, -400, -400, 120, -400, 110, 100, 95, 91, 89, 120)
    assert await events.prune(database, older_than_seconds=90 * DAYS) == 5
    assert await left(database) == [*ids[:4], ids[5], *ids[10:]]


async def test_one_call_removes_so_many_and_the_next_goes_on(
    database: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "BATCH", 2)
    monkeypatch.setattr(events, "AT_ONCE", 4)
    ids = await write(database, *[100] * 7, 1)
    counts = [await events.prune(database, older_than_seconds=90 * DAYS) for _ in range(3)]
    assert counts == [4, 3, 0]
    assert await left(database) == ids[7:]


async def test_two_that_prune_at_once_remove_each_event_once(
    database: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "BATCH", 10)
    ids = await write(database, *[100] * 55, 1)
    counts = await asyncio.gather(*(events.prune(database, older_than_seconds=90 * DAYS) for _ in range(4)))
    assert sum(counts) == 55
    assert await left(database) == ids[55:]


async def test_keys_past_their_time_go_in_batches(database: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "BATCH", 3)
    async with database.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO idempotency_keys "
                "(token_id, method, path, key, body_hash, status, headers, body, created_at) "
                "SELECT gen_random_uuid(), 'POST', '/', n::text, '', 202, '{}', '{}', "
                "now() - make_interval(hours => n) FROM generate_series(20, 29) AS n"
            )
        )
    assert [await idempotency.prune(database) for _ in range(3)] == [3, 3, 0]


async def runs(database: AsyncEngine, tenant: Tenant) -> list[int]:
    return sorted(execution.run for execution in await executions.page(database, tenant.id, limit=500))


async def serves(database: AsyncEngine, tenant: Tenant, run: int) -> None:
    async with database.begin() as connection:
        values = {"id": tenant.id, "execution": f"{tenant.name}-{run}"}
        await connection.execute(text("UPDATE tenants SET serving_execution = :execution WHERE id = :id"), values)


async def test_the_newest_executions_and_those_that_matter_are_kept(
    database: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run 1 is the newest by the tenant's row and queued; 3 is the last on docker, of which it may have volumes; 5 may
    still hold a resource; 7 serves."""
    monkeypatch.setattr(retention, "BATCH", 4)
    monkeypatch.setattr(retention, "TENANTS", 2)
    tenants = [(await create(database, f"t-{number}", spec("1")))[0] for number in range(5)]
    for tenant in tenants[:4]:
        await history(database, tenant, 20)
        await serves(database, tenant, 7)
    assert await retention.prune_history(database, keep=6) == 4 * 11
    for tenant in tenants[:4]:
        assert await runs(database, tenant) == [1, 3, 5, 7, *range(16, 22)]
    assert await runs(database, tenants[4]) == [1]
    assert await retention.prune_history(database, keep=6) == 0
    async with database.connect() as connection:
        for table in ("steps", "placements"):
            assert (await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one() == 4 * 9
    used = await PostgresExecutionStore(database).providers_used("t-0-7")
    assert used == ["docker", "fake"], "a delete still knows where belongings may be"


async def test_what_ended_long_ago_is_removed(database: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 7)
    monkeypatch.setattr(retention, "TENANTS", 2)
    alive, old, older, recent = [(await create(database, f"t-{number}", spec("1")))[0] for number in range(4)]
    await history(database, older, 20)
    statements = [
        "UPDATE executions SET state = 'succeeded'",
        f"UPDATE tenants SET status = 'deleted', deleted_at = now() - interval '91 days' WHERE id = '{old.id}'",
        f"UPDATE tenants SET status = 'deleted', deleted_at = now() - interval '99 days' WHERE id = '{older.id}'",
        f"UPDATE tenants SET status = 'deleted', deleted_at = now() - interval '89 days' WHERE id = '{recent.id}'",
        f"UPDATE tenants SET lease_owner = 'held/x' WHERE id = '{alive.id}'",
        "INSERT INTO clusters (id, home, build, state, ended_at, heartbeat_at) VALUES "
        "('gone', '', '', 'ended', now() - interval '91 days', now() - interval '91 days'), "
        "('silent', '', '', 'active', NULL, now() - interval '91 days'), "
        "('held', '', '', 'active', NULL, now() - interval '91 days'), "
        "('now', '', '', 'active', NULL, now()), "
        "('late', '', '', 'ended', now() - interval '1 day', now() - interval '91 days')",
        "INSERT INTO tokens (id, name, role, hash, expires_at, revoked_at) VALUES "
        "(gen_random_uuid(), 'admin', 'admin', '1', NULL, NULL), "
        "(gen_random_uuid(), 'revoked', 'viewer', '2', NULL, now() - interval '91 days'), "
        "(gen_random_uuid(), 'expired', 'viewer', '3', now() - interval '91 days', NULL), "
        "(gen_random_uuid(), 'lately', 'viewer', '4', now() - interval '1 day', NULL)",
    ]
    async with database.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))
    await retention.prune_ended(database, older_than_seconds=90 * DAYS)

    async def names(query: str) -> list[str]:
        async with database.connect() as connection:
            return sorted((await connection.execute(text(query))).scalars())

    assert await names("SELECT name FROM tenants") == ["t-0", "t-3"]
    assert await names("SELECT tenant_name FROM executions") == ["t-0", "t-3"]
    assert await names("SELECT id FROM clusters") == ["held", "late", "now"]
    assert await names("SELECT name FROM tokens") == ["admin", "lately"]


async def test_retention_runs_hourly_and_at_once_while_there_is_more(
    database: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "BATCH", 2)
    monkeypatch.setattr(events, "AT_ONCE", 4)
    await write(database, *[100] * 5)
    now = 0.0
    stage = Retention(database, Settings(), clock=lambda: now)
    assert [await stage.run() for _ in range(3)] == [4, 1, 0]
    await write(database, 100)
    assert await stage.run() == 0, "within the hour it does not look"
    now += 3601
    assert await stage.run() == 1
