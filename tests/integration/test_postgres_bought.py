"""Postgres as it is bought: another release than the embedded one, TLS, PgBouncer, limits, fail-over, a full disk."""

import asyncio
import contextlib
import json
import os
import random
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from controlplane.cli.bootstrap import PostgresBootstrap
from controlplane.errors import SettingsError, Unavailable
from controlplane.persistence import bootstrap, fleet
from controlplane.persistence.database import open_database
from controlplane.persistence.discretion import sqlstate
from tests.integration.api_replica import ADMIN, Api, api_on, served, until
from tests.postgres import CONNECTIONS, PASSWORD, DebianServer, PgBouncer, account, place

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")


@pytest.fixture
def pooler(debian: DebianServer, request: pytest.FixtureRequest) -> Iterator[PgBouncer]:
    directory = place()
    made = PgBouncer(debian, directory, request.param)
    made.start()
    yield made
    made.stop()
    shutil.rmtree(directory)


async def prepare(url: str) -> None:
    await bootstrap.prepare(url, home="/h", build="b", admin_token=ADMIN)


async def asked(url: str, statement: str) -> str:
    database = open_database(url, pool=1)
    try:
        async with database.connect() as connection:
            return str((await connection.execute(text(statement))).scalar_one())
    finally:
        await database.dispose()


def verified(server: DebianServer, **more: str) -> str:
    return server.url(sslmode="verify-full", sslrootcert=str(server.authority), **more)


async def test_the_api_on_debians_postgres_with_verified_tls(debian: DebianServer) -> None:
    url = verified(debian)
    await prepare(url)
    async with api_on(url) as api:
        assert (await created(api, "tls")).status_code == 202
        assert (await api.client.get("/v1/tenants/tls")).json()["status"] == "requested"
        query = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
        assert debian.sql(f"{query} WHERE application_name = 'landlord api'") == "t"


@pytest.mark.parametrize(
    ("host", "query", "word"),
    [
        ("localhost", {"sslmode": "verify-full", "sslrootcert": "other.pem"}, "certificate verify failed"),
        ("localhost", {"sslmode": "require", "channel_binding": "require"}, "certificate verify failed"),
        ("127.0.0.1", {"sslmode": "verify-full", "sslrootcert": "ca.pem"}, "certificate verify failed"),
        ("localhost", {"sslmode": "disable"}, "no encryption"),
    ],
    ids=["another authority", "channel binding, unknown authority", "another name", "no TLS"],
)
def test_a_server_that_is_not_verified_is_not_used(
    debian: DebianServer, host: str, query: dict[str, str], word: str
) -> None:
    if "sslrootcert" in query:
        query = query | {"sslrootcert": str(debian.directory / query["sslrootcert"])}
    with pytest.raises(Unavailable) as refused:
        PostgresBootstrap().register(
            debian.url(host=host, **query), owner_url=None, home="/h", before=None, build="b", admin_token=ADMIN
        )
    assert word in str(refused.value)
    assert "\n" not in str(refused.value)


async def test_verify_ca_asks_for_no_name(debian: DebianServer) -> None:
    url = debian.url(host="127.0.0.1", sslmode="verify-ca", sslrootcert=str(debian.authority))
    assert await asked(url, "SELECT 1") == "1"


async def test_options_of_the_url_reach_the_server(debian: DebianServer) -> None:
    assert await asked(debian.url(options="-c%20work_mem%3D7MB"), "SHOW work_mem") == "7MB"
    assert await asked(debian.url(), "SHOW lock_timeout") == "10s"


@pytest.mark.parametrize("pooler", ["session"], indirect=True)
async def test_pgbouncer_in_session_mode(debian: DebianServer, pooler: PgBouncer) -> None:
    await prepare(pooler.url)
    assert await asked(pooler.url, "SHOW lock_timeout") == "10s"
    async with api_on(pooler.url) as api, served(api) as client:
        await api.beat()
        async with client.stream("GET", "/v1/watch") as stream:
            lines = stream.aiter_lines()
            assert (await created(api, "pooled")).status_code == 202
            assert await anext(told(lines)) == "pooled"
        assert (await api.client.get("/v1/tenants/pooled")).status_code == 200


async def told(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    async for line in lines:
        if line.startswith("data:"):
            yield json.loads(line.removeprefix("data:"))["tenant"]


@pytest.mark.parametrize("pooler", ["transaction"], indirect=True)
async def test_pgbouncer_in_transaction_mode_is_refused_in_one_line(pooler: PgBouncer) -> None:
    with pytest.raises(SettingsError) as refused:
        await prepare(pooler.url)
    assert "LANDLORD_DATABASE_URL: a pooler in transaction mode" in str(refused.value)
    assert "\n" not in str(refused.value)


async def test_the_limit_of_the_role_is_the_limit(debian: DebianServer) -> None:
    debian.sql(
        f"CREATE ROLE small LOGIN PASSWORD '{PASSWORD}' CONNECTION LIMIT 30",
        f"CREATE ROLE large LOGIN PASSWORD '{PASSWORD}'",
    )
    found = {}
    for user in ("small", "large", "landlord"):
        database = open_database(debian.url(user=user), pool=1)
        found[user] = await fleet.max_connections(database)
        await database.dispose()
    assert found == {"small": 30, "large": CONNECTIONS - 3, "landlord": CONNECTIONS}


async def test_after_a_fail_over_the_api_goes_on_by_itself(debian: DebianServer) -> None:
    """Neither a standby nor a server that is down is used, and who was connected to the old primary finds the new."""
    primary, standby = DebianServer(place()), DebianServer(place())
    try:
        primary.make()
        standby.follow(primary)
        url = primary.url().replace(f"localhost:{primary.port}", f"localhost:{standby.port},localhost:{primary.port}")
        await prepare(url)
        async with api_on(url) as api:
            assert (await created(api, "before")).status_code == 202
            written = primary.sql("SELECT pg_current_wal_lsn()")
            await until(holds(lambda: standby.sql(f"SELECT pg_last_wal_replay_lsn() >= '{written}'") == "t"))
            primary.stop()
            down = await created(api, "meanwhile")
            assert (down.status_code, down.json()["code"]) == (503, "unavailable")
            standby.promote()

            async def well() -> bool:
                return (await created(api, "after")).status_code == 202

            await until(well)
            assert (await api.client.get("/v1/tenants/before")).status_code == 200
            assert (await api.client.get("/v1/tenants/meanwhile")).status_code == 404
    finally:
        standby.stop()
        for server in (primary, standby):
            shutil.rmtree(server.directory)


def holds(condition: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    async def ask() -> bool:
        return await asyncio.to_thread(condition)

    return ask


@pytest.fixture
def disk(debian: DebianServer) -> Iterator[Path]:
    """A disk of 4 MiB. Whatever is on it goes at the end, so the database is made anew."""
    disk = place()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=777", "tmpfs", disk], check=True)
    yield disk
    debian.sql("DROP DATABASE landlord WITH (FORCE)", "DROP TABLESPACE IF EXISTS small", database="postgres")
    debian.sql("CREATE DATABASE landlord", database="postgres")
    subprocess.run(["umount", disk], check=True)
    shutil.rmtree(disk)


@as_root
async def test_a_full_disk_is_unavailable_and_well_again_when_it_has_room(debian: DebianServer, disk: Path) -> None:
    await prepare(debian.url())
    (space := disk / "space").mkdir()
    shutil.chown(space, *account())
    debian.sql(f"CREATE TABLESPACE small LOCATION '{space}'", "ALTER TABLE tenants SET TABLESPACE small")
    async with api_on(debian.url()) as api:
        assert (await created(api, "first")).status_code == 202
        with contextlib.suppress(OSError), (disk / "ballast").open("wb") as ballast:
            while True:
                ballast.write(b"0" * 4096)
                ballast.flush()
        names = (f"t{n}" for n in range(100))
        answers = [await created(api, next(names))]
        while answers[-1].status_code == 202:
            answers.append(await created(api, next(names)))
        assert (answers[-1].status_code, answers[-1].json()["code"]) == (503, "unavailable")
        assert (await api.client.get("/v1/tenants/first")).status_code == 200
        (disk / "ballast").unlink()
        assert (await created(api, "later")).status_code == 202


async def created(api: Api, name: str) -> httpx.Response:
    """The answer to a POST of a tenant with as much text as makes pages of its table full."""
    return await api.create(name, annotations={"note": random.Random(name).randbytes(4_000).hex()})


async def test_two_roles_on_a_server_that_had_one(debian: DebianServer) -> None:
    """As the page on security tells it: the owner is no superuser, and there are rows already."""
    for name in ("owning", "adding"):
        debian.sql(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'", database="postgres")
    debian.sql("CREATE DATABASE two OWNER owning", database="postgres")
    owner, adding = (debian.url(user=user).replace("/landlord", "/two") for user in ("owning", "adding"))
    await prepare(owner)
    await bootstrap.prepare(adding, owner_url=owner, home="/h", build="b", admin_token=ADMIN)
    async with api_on(adding) as api:
        assert (await created(api, "two")).status_code == 202
        assert (await api.client.get("/v1/admin/consistency")).json()["notes"] == []
    with pytest.raises(DBAPIError) as refused:
        await asked(adding, "DELETE FROM events RETURNING id")
    assert sqlstate(refused.value) == "42501"
    with pytest.raises(SettingsError, match="the role adding owns no tables"):
        await prepare(adding)
