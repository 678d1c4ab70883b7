"""Prepares the database before anything runs: migrate, make the installation id, register this start of the cluster.

Called by `landlord up` and by the tests. Migrations only expand the schema. They run under an advisory lock, so that
two starts at once do not collide. A newer schema is refused, unless its release says that this one can read its rows
(`compatibility`): then a roll-back is a start like another.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import NoResultFound
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from controlplane.errors import SettingsError
from controlplane.model import TriggerSource
from controlplane.persistence import clusters, compatibility, running_role, tables, tokens
from controlplane.persistence.address import OWNER_SETTING, SETTING, address
from controlplane.persistence.database import connector, open_database
from controlplane.persistence.lookups import Lookup
from controlplane.persistence.transaction import Transaction, transaction

MIGRATION_LOCK = 0x1A4D10D6
LOCK_LOOK_SECONDS = 0.2
ACTOR = "landlord up"
BOOTSTRAP = "landlord bootstrap"


async def prepare(
    database_url: str,
    *,
    home: str,
    build: str,
    admin_token: str | None,
    before: str | None = None,
    cluster_id: str | None = None,
    owner_url: str | None = None,
    keep_events_seconds: float | None = None,
) -> str:
    """Migrate, and register a new cluster of this home; return its id. Earlier clusters of the same home are marked
    ended, so call this only once their processes are gone. `home`: which one it is among all that share the database;
    `before`: the id of its last cluster, if it is known; `cluster_id`: the new one's, see `clusters.register`.
    `admin_token` is stored (its hash) as `put_admin` does. `owner_url`, `keep_events_seconds`: see `migrate`.

    Raises SchemaTooNew, SettingsError for a URL that is not Postgres and for a token that cannot be the admin's, and
    asyncpg's errors if the server does not answer."""
    await connector(address(database_url), application=BOOTSTRAP).require_sessions()
    database = open_database(database_url, pool=1, application=BOOTSTRAP)
    try:
        async with opened(owner_url, application=BOOTSTRAP) as owner:
            await migrate(database, owner=owner, keep_events_seconds=keep_events_seconds)
        async with database.begin() as connection:
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
            cluster_id = await clusters.register(connection, home=home, before=before, build=build, id=cluster_id)
            if admin_token is not None:
                tx = Transaction(connection, actor=ACTOR, request_id=None, source=TriggerSource.API)
                await tokens.put_admin(tx, admin_token, beside=await _beside(connection, home, cluster_id))
                await tx.flush()
        return cluster_id
    finally:
        await database.dispose()


@asynccontextmanager
async def opened(owner_url: str | None, *, application: str) -> AsyncIterator[AsyncEngine | None]:
    """The database as its owner sees it, for `migrate`. None: the role that runs is the owner. Raises SettingsError."""
    if owner_url is None:
        yield None
        return
    try:
        owner = open_database(owner_url, pool=1, application=application)
    except SettingsError as error:
        raise SettingsError(str(error).replace(SETTING, OWNER_SETTING)) from None
    try:
        yield owner
    finally:
        await owner.dispose()


async def migrate(
    database: AsyncEngine, *, owner: AsyncEngine | None = None, keep_events_seconds: float | None = None
) -> None:
    """Migrate the schema, make the installation id, and record which rows this release writes, and for how long events
    are kept at least (None: as before). With an `owner`, do that as this role, and grant that of `database` what it
    needs to run; this one cannot change events then.

    Each migration commits by itself and takes the time that it takes. Raises SchemaTooNew, and SettingsError if the
    roles are not fit for it."""
    async with (owner or database).connect() as connection:
        try:
            await _alone(connection)
            if owner is None:
                await running_role.require_owner(connection)
            await connection.run_sync(_migrate)
            await connection.execute(upsert(tables.installation).values(id=uuid4()).on_conflict_do_nothing())
            await compatibility.record(connection)
            if keep_events_seconds is not None:
                await connection.execute(update(tables.installation).values(events_kept_seconds=keep_events_seconds))
            await connection.commit()
            if owner is not None:
                await running_role.grant(connection, database)
        finally:
            await connection.invalidate()  # with its lock and its time-outs


async def _alone(connection: AsyncConnection) -> None:
    """Hold the lock of migrations for the session. Asks again and again: a statement that waited for it would be a
    transaction for which the other one's `CREATE INDEX CONCURRENTLY` waits."""
    await connection.execute(text("SET statement_timeout = 0"))
    await connection.execute(text("SET idle_in_transaction_session_timeout = 0"))
    await connection.commit()
    locked = text(f"SELECT pg_try_advisory_lock({MIGRATION_LOCK})")
    while not (await connection.execute(locked)).scalar_one():
        await connection.rollback()
        await asyncio.sleep(LOCK_LOOK_SECONDS)
    await connection.commit()


async def admit(database: AsyncEngine, admin_token: str, *, home: str = "", before: str | None = None) -> None:
    """Make this the home's admin token while everything runs. `before`: the id of its cluster. Raises SettingsError if
    it cannot be."""
    async with transaction(database, actor=ACTOR) as tx:
        await tokens.put_admin(tx, admin_token, beside=await _beside(tx.connection, home, before))


async def _beside(connection: AsyncConnection, home: str, cluster_id: str | None) -> str | None:
    """The home's own word if another home's cluster works on this database, else None."""
    if not home or not await clusters.others(connection, home=home, cluster_id=cluster_id):
        return None
    return home.rpartition("@")[2]


_INSTALLATION = Lookup(select(tables.installation.c.id))


async def installation_id(database: AsyncEngine) -> str:
    """The installation id: the owner label of every resource."""
    row = await _INSTALLATION.first(database)
    if row is None:
        raise NoResultFound("there is no installation: run `landlord up`")
    return str(row["id"])


def _migrate(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    there: set[str] = set()
    if inspect(connection).has_table("alembic_version"):
        there = set(connection.execute(text("SELECT version_num FROM alembic_version")).scalars())
    if unknown := there - known:
        compatibility.require_readable(connection, ", ".join(sorted(unknown)))
        connection.rollback()
        return  # a newer release has expanded the schema; what it has added is in nobody's way
    connection.rollback()
    command.upgrade(config, "head")
    compatibility.require_readable(connection, "head")
