"""What is old goes, and nothing else, whatever the clock did; in batches."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.persistence import events, idempotency

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
