"""Prepares the database before anything runs: migrate, make the installation id, register this start of the cluster.

Called by `landlord up` and by the tests. Migrations only expand the schema. They run under an advisory lock, so that
two starts at once do not collide. A schema newer than this code is refused.
"""

from pathlib import Path
from uuid import uuid4

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, insert, inspect, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from controlplane.errors import SchemaTooNew
from controlplane.model import ClusterState, TriggerSource
from controlplane.persistence import tables, tokens
from controlplane.persistence.database import open_database
from controlplane.persistence.transaction import Transaction, transaction

MIGRATION_LOCK = 0x1A4D10D6
ACTOR = "landlord up"


async def prepare(database_url: str, *, home: str, build: str, admin_token: str | None) -> str:
    """Migrate, and register a new cluster of this home; return its id. Earlier clusters of the same home are marked
    ended, so call this only once their processes are gone. `admin_token` is stored (its hash) as the token named
    `admin`.

    Raises SchemaTooNew, SettingsError for a URL that is not Postgres and for a token that cannot be the admin's, and
    asyncpg's errors if the server does not answer."""
    database = open_database(database_url, pool=1, application="landlord bootstrap")
    try:
        async with database.begin() as connection:
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
            await connection.run_sync(_migrate)
            await _mint_installation(connection)
            cluster_id = await _register_cluster(connection, home, build)
            if admin_token is not None:
                tx = Transaction(connection, actor=ACTOR, request_id=None, source=TriggerSource.API)
                await tokens.put_admin(tx, admin_token)
                await tx.flush()
        return cluster_id
    finally:
        await database.dispose()


async def migrate(database: AsyncEngine) -> None:
    """Migrate the schema and make the installation id, nothing else."""
    async with database.begin() as connection:
        await connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
        await connection.run_sync(_migrate)
        await _mint_installation(connection)


async def admit(database: AsyncEngine, admin_token: str) -> None:
    """Make this the token named `admin` while everything runs. Raises SettingsError if it cannot be."""
    async with transaction(database, actor=ACTOR) as tx:
        await tokens.put_admin(tx, admin_token)


async def installation_id(database: AsyncEngine) -> str:
    """The installation id: the owner label of every resource."""
    async with database.connect() as connection:
        return str((await connection.execute(select(tables.installation.c.id))).scalar_one())


def _migrate(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if inspect(connection).has_table("alembic_version"):
        for (revision,) in connection.execute(text("SELECT version_num FROM alembic_version")):
            if revision not in known:
                raise SchemaTooNew(
                    f"the database is at schema {revision}, which this release does not know; run the newer release"
                )
    command.upgrade(config, "head")


async def _mint_installation(connection: AsyncConnection) -> None:
    await connection.execute(upsert(tables.installation).values(id=uuid4()).on_conflict_do_nothing())


async def _register_cluster(connection: AsyncConnection, home: str, build: str) -> str:
    await connection.execute(
        update(tables.clusters)
        .where(tables.clusters.c.home == home, tables.clusters.c.state != ClusterState.ENDED)
        .values(state=ClusterState.ENDED, ended_at=func.clock_timestamp())
    )
    cluster_id = uuid4().hex[:12]
    await connection.execute(insert(tables.clusters).values(id=cluster_id, home=home, build=build))
    return cluster_id
