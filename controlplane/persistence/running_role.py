"""The database role as which the control plane runs. It reads and writes every table, and only adds to the audit trail.

`landlord up` migrates as the owner of the tables and grants this role what it needs. Of an event, the role writes
neither id nor time nor hash. Old events go by a function of the owner's, which removes none that is younger than
LANDLORD_EVENT_RETENTION_DAYS was at the last `up` (migration 0013).
"""

from sqlalchemy import Table, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from controlplane.errors import SettingsError
from controlplane.persistence import tables
from controlplane.persistence.address import OWNER_SETTING, SETTING
from controlplane.persistence.database import single
from controlplane.persistence.discretion import NOT_THERE, sqlstate

_PRUNE = "landlord_prune_events(bigint, bigint, double precision)"
_MADE_BY_THE_SERVER = {"id", "at", "hash"}
"""Columns of an event."""
_READ_ONLY = ("installation", "alembic_version")

_MAY_CHANGE_EVENTS = text("""
    SELECT has_table_privilege(oid, 'UPDATE, DELETE, TRUNCATE, TRIGGER') OR has_any_column_privilege(oid, 'UPDATE')
        OR pg_has_role(relowner, 'MEMBER')
    FROM pg_class WHERE oid = 'events'::regclass
""")
_OWNS = text("""
    SELECT current_user, pg_has_role(relowner, 'MEMBER') FROM pg_class WHERE oid = to_regclass('installation')
""")
_MAY_BECOME_OWNER = text("""
    SELECT pg_has_role(pg_roles.oid, relowner, 'MEMBER') FROM pg_class, pg_roles
    WHERE pg_class.oid = 'events'::regclass AND rolname = :role
""")


async def grant(connection: AsyncConnection, running: AsyncEngine) -> None:
    """As the owner of the tables, grant the role of `running` what the control plane needs. Raises SettingsError if it
    is on another database, or may change events all the same."""
    role = await _role(running)
    # First: what is taken away below must not be the owner's.
    becomes = (await connection.execute(_MAY_BECOME_OWNER, {"role": role})).scalar()
    if becomes is None:
        raise _not_same(role)
    if becomes:
        raise _too_mighty(role)
    quote = connection.dialect.identifier_preparer.quote_identifier
    written = [table.name for table in tables.metadata.sorted_tables if _is_written(table)]
    columns = ", ".join(column.name for column in tables.events.c if column.name not in _MADE_BY_THE_SERVER)
    to = f"TO {quote(role)}"
    for statement in (
        f"REVOKE ALL ON events, {', '.join(_READ_ONLY)} FROM {quote(role)}",
        f"GRANT SELECT ON events, {', '.join(_READ_ONLY)} {to}",
        f"GRANT INSERT ({columns}) ON events {to}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON {', '.join(written)} {to}",
        f"REVOKE ALL ON FUNCTION {_PRUNE} FROM PUBLIC",  # a database from a backup has not kept that
        f"GRANT EXECUTE ON FUNCTION {_PRUNE} {to}",
    ):
        await connection.execute(text(statement))
    schema = (await connection.execute(text("SELECT current_schema()"))).scalar_one()
    uses = text("SELECT has_schema_privilege(:role, :schema, 'USAGE')")
    if not (await connection.execute(uses, {"role": role, "schema": schema})).scalar_one():
        await connection.execute(text(f"GRANT USAGE ON SCHEMA {quote(schema)} {to}"))
    await connection.commit()
    await _require_same(connection, running, role)
    if await may_change_events(running):
        raise _too_mighty(role)


async def may_change_events(database: AsyncEngine) -> bool:
    """True if nothing but the hash chain guards the trail against this role."""
    async with single(database) as connection:
        return bool((await connection.execute(_MAY_CHANGE_EVENTS)).scalar_one())


async def require_owner(connection: AsyncConnection) -> None:
    """Raises SettingsError if there are tables of ours, and this role may not migrate them."""
    found = (await connection.execute(_OWNS)).one_or_none()
    await connection.commit()
    if found is not None and not found[1]:
        raise SettingsError(f"{SETTING}: the role {found[0]} owns no tables of Landlord's; set {OWNER_SETTING} too")


def _is_written(table: Table) -> bool:
    return table is not tables.events and table.name not in _READ_ONLY


async def _role(database: AsyncEngine) -> str:
    async with single(database) as connection:
        return str((await connection.execute(text("SELECT current_user"))).scalar_one())


async def _require_same(connection: AsyncConnection, running: AsyncEngine, role: str) -> None:
    query = select(tables.installation.c.id)
    ours = (await connection.execute(query)).scalar_one()
    await connection.commit()
    try:
        async with single(running) as other:
            theirs = (await other.execute(query)).scalar()
    except DBAPIError as error:
        if sqlstate(error) not in NOT_THERE:
            raise
        theirs = None
    if theirs != ours:
        raise _not_same(role)


def _too_mighty(role: str) -> SettingsError:
    return SettingsError(
        f"{SETTING}: its role {role} may change events all the same; name one that is no superuser, owns none of "
        f"Landlord's tables, and is no member of the role of {OWNER_SETTING}"
    )


def _not_same(role: str) -> SettingsError:
    return SettingsError(
        f"{SETTING} and {OWNER_SETTING}: the role {role} does not see the owner's tables; both must name the same "
        "database and search_path"
    )
