"""The database's clock steps back: by an hour, and for good, as one that was wrong and is put right. What was to last
for seconds by it does not last for an hour."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from controlplane.lifecycle.decisions import Promote
from controlplane.lifecycle.owner_state import OwnerState, Policy
from controlplane.lifecycle.reconcile import reconcile
from controlplane.persistence import bootstrap, fleet, leases
from controlplane.persistence.database import open_database
from controlplane.persistence.owned_tenant import OwnedTenant
from controlplane.persistence.resting import resting
from tests.integration.owner import create, spec

HERE, THERE = "/var/lib/landlord@aaaaaaaaaaaa", "/var/lib/landlord@bbbbbbbbbbbb"

CLOCK = """
CREATE SCHEMA stepped;
CREATE TABLE stepped.by (seconds double precision NOT NULL);
INSERT INTO stepped.by VALUES (0);
CREATE FUNCTION stepped.clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql AS
  $$ SELECT pg_catalog.clock_timestamp() + make_interval(secs => seconds) FROM stepped.by $$;
CREATE FUNCTION stepped.statement_timestamp() RETURNS timestamptz STABLE LANGUAGE sql AS
  $$ SELECT pg_catalog.statement_timestamp() + make_interval(secs => seconds) FROM stepped.by $$
"""
"""Functions of the clock's names, which statements without a schema find first."""


class Clock:
    """The database's, as all statements of the control plane see it."""

    def __init__(self, database: AsyncEngine) -> None:
        self.database = database

    async def step(self, seconds: float) -> None:
        async with self.database.begin() as connection:
            await connection.execute(text("UPDATE stepped.by SET seconds = :seconds"), {"seconds": seconds})


@pytest_asyncio.fixture
async def clock(database_url: str) -> AsyncIterator[Clock]:
    plain = create_async_engine(database_url)
    async with plain.begin() as connection:
        for statement in CLOCK.split(";\n"):
            await connection.execute(text(statement))
        name = make_url(database_url).database
        await connection.execute(text(f'ALTER DATABASE "{name}" SET search_path = stepped, pg_catalog, public'))
    await plain.dispose()
    database = open_database(database_url, pool=2)
    yield Clock(database)
    await database.dispose()


async def owned(clock: Clock, cluster_id: str) -> tuple[UUID, OwnedTenant, str]:
    tenant, execution = await create(clock.database, "acme", spec())
    fence = await leases.acquire(clock.database, tenant.id, cluster_id=cluster_id, actor_id="a")
    assert fence is not None
    return tenant.id, OwnedTenant(clock.database, tenant.id, fence, owner="test"), execution.id


async def due(clock: Clock) -> list[str]:
    return [found.key.name for found in await fleet.due(clock.database, "here")]


async def test_who_left_for_a_minute_is_not_away_for_an_hour(clock: Clock) -> None:
    await clock.step(3600)
    _, owner, _ = await owned(clock, "here")
    await owner.release(60)
    assert await due(clock) == []
    await clock.step(3590)  # put right by a little: it is away still
    assert await due(clock) == []
    await clock.step(0)
    assert await due(clock) == ["acme"]
    (fact,) = await fleet.tenant_facts(clock.database)
    assert (fact.unfinished, fact.waiting) == (True, False)


async def test_an_owner_that_left_because_its_turns_fail_is_due_again(clock: Clock) -> None:
    await clock.step(3600)
    _, owner, _ = await owned(clock, "here")
    assert await owner.give_up("load") is not None
    assert await due(clock) == []
    await clock.step(0)
    assert await due(clock) == ["acme"]
    assert await resting(clock.database) == []


async def test_a_lease_of_another_cluster_ends_in_its_seconds(clock: Clock, database_url: str) -> None:
    here = await bootstrap.prepare(database_url, home=HERE, before=None, build="test", admin_token=None)
    there = await bootstrap.prepare(database_url, home=THERE, before=None, build="test", admin_token=None)
    await clock.step(3600)
    id, owner, _ = await owned(clock, here)
    assert await leases.acquire(clock.database, id, cluster_id=there, actor_id="b") is None
    await clock.step(0)
    await leases.renew(clock.database, id, owner.fence)
    assert await leases.acquire(clock.database, id, cluster_id=there, actor_id="b") is None, "its owner lives"
    await clock.step(-3600)  # and now it lives no more
    assert await leases.acquire(clock.database, id, cluster_id=there, actor_id="b") is not None


async def test_an_owner_that_stands_still_is_seen_all_the_same(clock: Clock) -> None:
    await clock.step(3600)
    id, owner, _ = await owned(clock, "here")
    assert await fleet.silent_owners(clock.database, "here", 15) == []
    await clock.step(0)
    assert await fleet.silent_owners(clock.database, "here", 15) == ["acme"]
    assert await leases.renew(clock.database, id, owner.fence)
    assert await fleet.silent_owners(clock.database, "here", 15) == []


async def test_a_run_that_was_to_begin_within_a_minute_begins(clock: Clock) -> None:
    _, owner, execution_id = await owned(clock, "here")
    async with clock.database.begin() as connection:
        later = text("UPDATE executions SET next_attempt_at = pg_catalog.clock_timestamp() + make_interval(secs => :s)")
        await connection.execute(later, {"s": 60})
    policy = Policy(idle=None, deadline=600)
    assert reconcile(await owner.load(), OwnerState(), policy).act is None
    assert await due(clock) == []
    await clock.step(-3600)
    act = reconcile(await owner.load(), OwnerState(), policy).act
    assert isinstance(act, Promote)
    assert act.execution.id == execution_id
    assert await due(clock) == ["acme"]
