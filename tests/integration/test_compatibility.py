"""A release says which databases it can work on, and stops where it cannot, with one line that says what to do."""

import logging
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.api.consistency import differences
from controlplane.api.readiness import _database
from controlplane.errors import SchemaTooNew
from controlplane.persistence import bootstrap, compatibility, leases
from controlplane.persistence.compatibility import NEEDS, WRITES
from controlplane.persistence.database import open_database
from tests.fakes import FakeDirectory
from tests.integration.api_replica import api_on
from tests.integration.owner import create, spec

TOO_NEW = (
    "the database is at schema 9999: its rows are of number 9, and this release reads up to .*; run the newer release"
)


async def another_release(database: AsyncEngine, *, readable_by: int, written: int = 9, schema: str = "9999") -> None:
    """It has migrated the database, and has written rows."""
    async with database.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = :schema"), {"schema": schema})
        await connection.execute(
            text("UPDATE installation SET rows_written = :written, rows_readable_by = :by"),
            {"written": written, "by": readable_by},
        )


async def test_a_start_on_rows_that_it_cannot_read_is_refused(database: AsyncEngine, database_url: str) -> None:
    await another_release(database, readable_by=WRITES + 1)
    with pytest.raises(SchemaTooNew, match=TOO_NEW) as refused:
        await bootstrap.prepare(database_url, home="/h", build="b", admin_token=None)
    assert "\n" not in refused.value.message
    async with database.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM clusters"))).scalar_one() == 0


async def test_a_start_after_a_roll_back_is_a_start_like_another(database: AsyncEngine, database_url: str) -> None:
    """The newer release has migrated, and says that this one can read its rows."""
    await another_release(database, readable_by=WRITES)
    assert await bootstrap.prepare(database_url, home="/h", build="b", admin_token=None)
    assert await compatibility.trouble(database) is None
    async with database.connect() as connection:
        row = (await connection.execute(text("SELECT rows_written, rows_readable_by FROM installation"))).one()
    assert tuple(row) == (9, WRITES)


async def test_no_lease_is_taken_on_rows_that_cannot_be_read(database: AsyncEngine) -> None:
    tenant, _ = await create(database, "acme", spec())
    await another_release(database, readable_by=WRITES + 1)
    assert await leases.acquire(database, tenant.id, cluster_id="c", actor_id="a") is None
    await another_release(database, readable_by=WRITES)
    assert await leases.acquire(database, tenant.id, cluster_id="c", actor_id="a") is not None


async def test_replicas_and_supervisor_refuse_and_say_why(
    database: AsyncEngine, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    await another_release(database, readable_by=WRITES + 1)
    with pytest.raises(SchemaTooNew, match=TOO_NEW):
        async with api_on(database_url):
            pass
    with pytest.raises(SchemaTooNew, match=TOO_NEW):
        await compatibility.require(database)
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.CRITICAL]
    assert len(lines) == 2
    assert "run the newer release" in lines[0]


async def test_what_is_read_is_said_at_the_start(database: AsyncEngine, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await compatibility.require(database)
    said = f"this release works on schema {NEEDS} and reads rows of number {WRITES}; the database is at schema {NEEDS}"
    assert any(record.getMessage().startswith(said) for record in caplog.records)


async def test_a_replica_that_runs_is_not_ready_once_it_cannot_read_and_doctor_says_so(
    database: AsyncEngine, database_url: str
) -> None:
    async with api_on(database_url) as api:
        await api.beat()
        assert (await api.client.get("/readyz")).json()["checks"]["database"] == {"ok": True, "detail": "answers"}
        await another_release(database, readable_by=WRITES + 1)
        found = await differences(database, {}, FakeDirectory())
        assert (await _database(api.replica)).ok is False
        assert [(one.kind, one.detail[:36]) for one in found] == [("other_release", TOO_NEW[:36])]
    assert str(await compatibility.trouble(database)).startswith(TOO_NEW[:36])


async def test_new_code_on_a_database_of_the_release_before_says_run_up(database: AsyncEngine, postgres: str) -> None:
    await another_release(database, readable_by=1, written=1, schema="0005")
    assert await compatibility.trouble(database) == (
        f"the database is at schema 0005, and this release needs {NEEDS}: run `landlord up`"
    )
    empty = open_database(postgres, pool=1)
    assert await compatibility.trouble(empty) == "the database was not prepared by this release: run `landlord up`"
    await empty.dispose()


async def test_a_database_that_does_not_answer_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    nowhere = open_database(f"postgresql://127.0.0.1:1/{uuid4().hex}", pool=1)
    await compatibility.require(nowhere)
    assert "does not say what it holds" in caplog.text
    await nowhere.dispose()
