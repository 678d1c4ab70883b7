"""`landlord backup` and `restore FILE`, up to the start of the control plane: the rows of one moment come back as they
were, and nothing that is there is replaced."""

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.cli import backup as commands
from controlplane.errors import SchemaTooNew, SettingsError, Unavailable
from controlplane.local import backup as backups
from controlplane.local.backup import Manifest, manifest_of, server_of
from controlplane.local.paths import Home
from controlplane.local.postgres import RUNNING
from controlplane.persistence import bootstrap, tables
from controlplane.persistence.chain import verify
from controlplane.persistence.compatibility import WRITES
from controlplane.persistence.database import open_database
from controlplane.persistence.holdings import holdings
from controlplane.persistence.running_role import may_change_events
from controlplane.settings import load_settings
from tests.integration.owner import create, spec
from tests.integration.test_running_role import as_role
from tests.postgres import DebianServer


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    (home.root / "secrets" / "acme").mkdir(parents=True)
    (home.root / "secrets" / "acme" / "db").write_text("s3cret")
    (home.root / "secrets" / "acme" / "db").chmod(0o600)
    (home.root / "config.yaml").write_text("port: 8100\n")
    return home


async def made(database: AsyncEngine, url: str, home: Home, file: Path, *, own: bool = True) -> Manifest:
    """A backup of this database."""
    manifest = Manifest(release="1", **(await holdings(database)))  # type: ignore[arg-type]
    backups.write(file, home, server_of(url, own=own), manifest)
    return manifest


async def rows(database: AsyncEngine) -> dict[str, list[tuple[object, ...]]]:
    """All rows of all tables."""
    async with database.connect() as connection:
        return {
            table.name: [tuple(row) for row in await connection.execute(select(table).order_by(*table.primary_key))]
            for table in tables.metadata.sorted_tables
        }


async def test_the_rows_come_back_as_they_were(
    database: AsyncEngine, database_url: str, empty_database_url: str, home: Home, tmp_path: Path
) -> None:
    for name in ("acme", "globex"):
        await create(database, name, spec())
    file = tmp_path / "backup.tar"
    manifest = await made(database, database_url, home, file)
    assert (manifest.tenants, file.stat().st_mode & 0o777) == (2, 0o600)
    assert manifest_of(file) == manifest
    before = await rows(database)
    await create(database, "too-late", spec())

    backups.load(file, server_of(empty_database_url, own=True))
    restored = open_database(empty_database_url, pool=2)
    try:
        assert await rows(restored) == before
        await bootstrap.migrate(restored)
        await create(restored, "next", spec())
        assert not (await verify(restored)).broken, "the trail goes on where it was"
        async with restored.connect() as connection:
            live = select(tables.tenant_counts.c.live).where(tables.tenant_counts.c.scope == "all")
            assert (await connection.execute(live)).scalar_one() == 3
    finally:
        await restored.dispose()


async def test_files_of_the_home_come_back_where_there_are_none(
    database: AsyncEngine, database_url: str, home: Home, tmp_path: Path
) -> None:
    file = tmp_path / "backup.tar"
    await made(database, database_url, home, file)
    empty = Home(tmp_path / "empty")
    empty.root.mkdir()
    (empty.root / "config.yaml").write_text("port: 9999\n")
    assert backups.unpack_home(file, empty) == ["secrets"]
    assert (empty.root / "config.yaml").read_text() == "port: 9999\n"
    secret = empty.root / "secrets" / "acme" / "db"
    assert (secret.read_text(), secret.stat().st_mode & 0o777) == ("s3cret", 0o600)


async def test_nothing_is_replaced(
    database: AsyncEngine,
    database_url: str,
    home: Home,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither a file that is there, nor an installation."""
    file = tmp_path / "backup.tar"
    await made(database, database_url, home, file)
    content = file.read_bytes()
    with pytest.raises(SettingsError, match="exists already"):
        await made(database, database_url, home, file)
    assert file.read_bytes() == content
    before = await rows(database)
    monkeypatch.setattr(commands, "ask", lambda *_, **__: True)
    settings = load_settings({"LANDLORD_HOME": str(home.root), "LANDLORD_DATABASE_URL": database_url})
    with pytest.raises(SettingsError, match="LANDLORD_DATABASE_URL holds an installation already"):
        commands.load(file, settings)
    with pytest.raises(Unavailable, match=r"pg_restore failed: .*already exists"):
        backups.load(file, server_of(database_url, own=True))
    assert await rows(database) == before


async def test_a_backup_that_fails_leaves_no_file(tmp_path: Path, home: Home, postgres: str) -> None:
    nowhere = server_of(postgres.replace("/landlord?", "/nothing-here?"), own=True)
    with pytest.raises(Unavailable, match=r"pg_dump failed: .*nothing-here"):
        backups.write(tmp_path / "backup.tar", home, nowhere, Manifest("1", "0001", 1, "i", 0, "now"))
    with pytest.raises(SettingsError, match="cannot be written"):
        backups.write(tmp_path / "none" / "b.tar", home, nowhere, Manifest("1", "0001", 1, "i", 0, "now"))
    assert os.listdir(tmp_path) == ["home"]


def of(tmp_path: Path, name: str, content: bytes) -> Path:
    (tmp_path / name).write_bytes(content)
    return tmp_path / name


async def test_what_is_no_backup_is_refused_before_anything_is_made(
    database: AsyncEngine, database_url: str, home: Home, tmp_path: Path
) -> None:
    whole = tmp_path / "backup.tar"
    await made(database, database_url, home, whole)
    with tarfile.open(tmp_path / "other.tar", "w") as other:
        other.add(home.root / "config.yaml", "something")
    empty = Home(tmp_path / "empty")
    for file in (
        of(tmp_path, "text", b"hello"),
        of(tmp_path, "part", whole.read_bytes()[:700]),
        tmp_path / "other.tar",
    ):
        with pytest.raises(SettingsError, match="is not a backup that `landlord backup` made"):
            commands.unpack(file, empty)
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        commands.unpack(tmp_path / "missing", empty)
    assert not empty.root.exists()


async def test_rows_of_a_newer_release_are_refused_before_anything_is_made(
    database: AsyncEngine, database_url: str, home: Home, tmp_path: Path
) -> None:
    async with database.begin() as connection:
        await connection.execute(text("UPDATE installation SET rows_readable_by = :by"), {"by": WRITES + 1})
    await made(database, database_url, home, tmp_path / "newer.tar")
    empty = Home(tmp_path / "empty")
    with pytest.raises(SchemaTooNew, match="use the release that made it, or a newer one"):
        commands.unpack(tmp_path / "newer.tar", empty)
    assert not empty.root.exists()


async def test_a_name_in_the_archive_leads_nowhere_else(
    database: AsyncEngine, database_url: str, home: Home, tmp_path: Path
) -> None:
    """A backup that somebody has changed writes only below the home."""
    file = tmp_path / "backup.tar"
    await made(database, database_url, home, file)
    with tarfile.open(file, "a") as archive:
        for name in ("home/secrets/../../../outside", "home/../outside", "home/token"):
            archive.add(home.root / "config.yaml", name)
    empty = Home(tmp_path / "deep" / "empty")
    empty.root.mkdir(parents=True)
    with pytest.raises(SettingsError, match="is not a backup"):
        backups.unpack_home(file, empty)
    assert sorted(os.listdir(tmp_path)) == ["backup.tar", "deep", "home"]
    assert os.listdir(tmp_path / "deep") == ["empty"]
    assert not (empty.root / "token").exists()


@pytest.fixture
def prepared(debian: DebianServer) -> Iterator[DebianServer]:
    """With two empty databases; its own one is empty again at the end."""

    def anew(name: str) -> None:
        debian.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", f"CREATE DATABASE {name}", database="postgres")

    anew("landlord")
    anew("elsewhere")
    yield debian
    anew("landlord")


async def test_a_database_with_tls_and_a_password(prepared: DebianServer, home: Home, tmp_path: Path) -> None:
    """By the clients on PATH. The password is in no argument."""
    url = prepared.url(sslmode="require")
    database = open_database(url, pool=2)
    try:
        await bootstrap.migrate(database)
        await create(database, "acme", spec())
        file = tmp_path / "backup.tar"
        await made(database, url, home, file, own=False)
        before = await rows(database)
    finally:
        await database.dispose()
    elsewhere = url.replace("/landlord?", "/elsewhere?")
    server = server_of(elsewhere, own=False)
    assert not any("of%23the" in word or "of#the" in word for word in server.command("pg_restore"))
    assert not server.command("pg_restore")[0].startswith(os.path.dirname(os.__file__))
    backups.load(file, server)
    restored = open_database(elsewhere, pool=2)
    try:
        assert await rows(restored) == before
        async with restored.connect() as connection:
            assert (await connection.execute(select(func.count()).select_from(tables.tenants))).scalar_one() == 1
    finally:
        await restored.dispose()


async def test_the_trail_of_a_restored_database_is_the_owners(
    database: AsyncEngine, database_url: str, empty_database_url: str, home: Home, tmp_path: Path
) -> None:
    """A dump without privileges gives the function that prunes events to everybody; the next `up` takes it back."""
    await create(database, "acme", spec())
    file = tmp_path / "backup.tar"
    await made(database, database_url, home, file)
    backups.load(file, server_of(empty_database_url, own=True))
    restored = open_database(empty_database_url, pool=2)
    running = open_database(as_role(empty_database_url, RUNNING), pool=1)
    prunes = text("SELECT has_function_privilege('public', :function, 'EXECUTE')")
    function = {"function": "landlord_prune_events(bigint, bigint, double precision)"}
    try:
        async with restored.connect() as connection:
            assert (await connection.execute(prunes, function)).scalar_one()
        await bootstrap.migrate(running, owner=restored)
        async with restored.connect() as connection:
            assert not (await connection.execute(prunes, function)).scalar_one()
        assert not await may_change_events(running)
    finally:
        await running.dispose()
        await restored.dispose()
