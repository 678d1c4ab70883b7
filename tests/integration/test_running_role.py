"""The database role as which the control plane runs: all that it needs, and nothing that changes the audit trail."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.errors import SettingsError
from controlplane.local.postgres import RUNNING
from controlplane.model import EventType
from controlplane.persistence import bootstrap, chain, events
from controlplane.persistence.database import open_database
from controlplane.persistence.discretion import sqlstate
from controlplane.persistence.transaction import transaction
from tests.integration.api_replica import api_on, tenant

DAY = 86400.0
KEPT_DAYS = 30
NOT_ALLOWED = "42501"


def as_role(url: str, role: str, **more: str) -> str:
    return make_url(url).set(username=role, **more).render_as_string(hide_password=False)


@pytest_asyncio.fixture
async def running_url(database: AsyncEngine, database_url: str) -> AsyncIterator[str]:
    """The database after `landlord up`, as the role that runs."""
    url = as_role(database_url, RUNNING)
    running = open_database(url, pool=1)
    await bootstrap.migrate(running, owner=database, keep_events_seconds=KEPT_DAYS * DAY)
    await running.dispose()
    yield url


@pytest_asyncio.fixture
async def running(running_url: str) -> AsyncIterator[AsyncEngine]:
    engine = open_database(running_url, pool=2)
    yield engine
    await engine.dispose()


async def record(database: AsyncEngine, count: int) -> None:
    async with transaction(database, actor="test") as tx:
        for number in range(count):
            tx.record(EventType.PAUSE_SET, message=str(number), data={})


async def aged(owner: AsyncEngine, *ages: float) -> list[int]:
    """Events of this age in days, oldest first, as if they had been written then; their ids."""
    insert = text("INSERT INTO events (type, at) VALUES ('t', now() - make_interval(secs => :age)) RETURNING id")
    async with owner.begin() as connection:
        return [(await connection.execute(insert, {"age": age * DAY})).scalar_one() for age in ages]


async def left(database: AsyncEngine) -> list[int]:
    async with database.connect() as connection:
        return list((await connection.execute(text("SELECT id FROM events ORDER BY id"))).scalars())


CHANGES = (
    "UPDATE events SET message = 'another'",
    "DELETE FROM events",
    "TRUNCATE events",
    "SELECT * FROM events FOR UPDATE",
    "INSERT INTO events (id, type) OVERRIDING SYSTEM VALUE VALUES (1, 't')",
    "INSERT INTO events (type, at) VALUES ('t', '2001-01-01')",
    "INSERT INTO events (type, hash) VALUES ('t', '')",
    "ALTER TABLE events DISABLE TRIGGER landlord_chain_event",
    "ALTER SEQUENCE events_id_seq RESTART",
    "SELECT setval('events_id_seq', 1)",
    "DROP TABLE events",
    "DROP FUNCTION landlord_prune_events(bigint, bigint, double precision)",
    "CREATE OR REPLACE FUNCTION landlord_chain_event() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
    "CREATE RULE r AS ON INSERT TO events DO INSTEAD NOTHING",
    "CREATE TRIGGER t BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION landlord_chain_event()",
    "SET session_replication_role = replica",
    "SET ROLE landlord",
    "UPDATE installation SET events_kept_seconds = 0",
    "DELETE FROM alembic_version",
    "COPY (SELECT 1) TO PROGRAM 'true'",
)


async def test_postgres_refuses_what_would_change_the_trail(database: AsyncEngine, running: AsyncEngine) -> None:
    await record(running, 2)
    before = await chain.verify(database)
    for statement in CHANGES:
        with pytest.raises(DBAPIError) as refused:
            async with running.begin() as connection:
                await connection.execute(text(statement))
        assert sqlstate(refused.value) == NOT_ALLOWED, statement
    assert await chain.verify(database) == before


async def test_old_events_go_and_the_chain_holds(database: AsyncEngine, running: AsyncEngine) -> None:
    ids = await aged(database, 100, 50, 40, 20, 10)
    await record(running, 1)
    assert await events.prune(running, older_than_seconds=45 * DAY) == 2
    assert (await left(database))[:3] == ids[2:]
    found = await chain.verify(running)
    assert (found.checked, found.after, found.broken) == (4, ids[1], ())


async def test_no_event_goes_before_the_time_that_the_owner_recorded(
    database: AsyncEngine, running: AsyncEngine
) -> None:
    """Whatever the role asks for, and whatever it puts in the way of the function's tables."""
    ids = await aged(database, 31, 29, 1)
    assert await events.prune(running, older_than_seconds=1) == 1
    async with running.begin() as connection:
        await connection.execute(text("CREATE TEMP TABLE installation AS SELECT 0.0 AS events_kept_seconds"))
        await connection.execute(text("SET LOCAL search_path = pg_temp, public"))
        asked = text("SELECT public.landlord_prune_events(0, 1000000, -1e9)")
        assert (await connection.execute(asked)).scalar_one() == 0
    assert await left(database) == ids[1:]
    found = await chain.verify(running)
    assert (found.checked, found.broken) == (2, ())


async def test_the_api_works_as_that_role_and_says_nothing_of_it(running_url: str, database: AsyncEngine) -> None:
    async with api_on(running_url) as api:
        headers = {"Idempotency-Key": "k"}
        for _ in range(2):
            assert (await api.client.post("/v1/tenants", json=tenant(), headers=headers)).status_code == 202
        await api.end("acme")
        assert (await api.client.patch("/v1/tenants/acme", json={"labels": {"a": "b"}})).status_code == 200
        assert (await api.client.post("/v1/tokens", json={"name": "ci", "role": "viewer"})).status_code == 201
        assert (await api.client.delete("/v1/tokens/ci")).status_code == 200
        assert (await api.client.delete("/v1/tenants/acme")).status_code == 202
        assert (await api.client.get("/v1/admin/consistency")).json()["notes"] == []
    assert (await chain.verify(database)).broken == ()


async def test_doctor_notes_a_role_that_may_change_events(database_url: str) -> None:
    async with api_on(database_url) as api:
        [note] = (await api.client.get("/v1/admin/consistency")).json()["notes"]
    assert note["kind"] == "changeable_trail"
    assert "LANDLORD_DATABASE_OWNER_URL" in note["detail"]


async def test_one_role_twice_is_refused(database: AsyncEngine, database_url: str) -> None:
    before = await rights(database)
    with pytest.raises(SettingsError, match="its role landlord may change events all the same"):
        await up(database_url, owner_url=database_url)
    assert await rights(database) == before, "the owner keeps its own"


async def rights(database: AsyncEngine) -> list[str | None]:
    query = "SELECT relacl::text FROM pg_class WHERE relname IN ('events', 'installation') ORDER BY relname"
    async with database.connect() as connection:
        return list((await connection.execute(text(query))).scalars())


async def test_a_role_that_owns_nothing_needs_the_owner(running_url: str) -> None:
    with pytest.raises(SettingsError, match=r"the role landlord_run owns no tables.*set LANDLORD_DATABASE_OWNER_URL"):
        await up(running_url)


async def test_the_two_urls_must_name_one_database(
    database_url: str, empty_database_url: str, running_url: str
) -> None:
    elsewhere = as_role(empty_database_url, RUNNING)
    with pytest.raises(SettingsError, match="landlord_run does not see the owner's tables"):
        await up(elsewhere, owner_url=database_url)
    assert await up(running_url, owner_url=database_url)


async def test_a_wrong_owner_url_is_named_as_such(running_url: str) -> None:
    with pytest.raises(SettingsError, match="LANDLORD_DATABASE_OWNER_URL must be"):
        await up(running_url, owner_url="mysql://h/d")


async def up(url: str, *, owner_url: str | None = None) -> str:
    return await bootstrap.prepare(url, home="/h", build="b", admin_token=None, owner_url=owner_url)
