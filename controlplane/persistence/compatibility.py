"""Which rows this release writes, and which releases can read them: what a roll-back is judged by.

A number stands for what may be in a row: fields of a spec, words for states, kinds of executions. A release that adds
one that the release before could not live with raises both numbers; one that the release before keeps and passes over
raises the first only. The database holds the largest numbers of all releases that have started on it.

Each process asks at its start: `landlord up` as it migrates, replicas and the supervisor by `require`, the actors as
they take their lease.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import ColumnElement, Connection, func, inspect, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from controlplane.errors import SchemaTooNew
from controlplane.persistence import tables
from controlplane.persistence.database import single
from controlplane.persistence.discretion import NOT_THERE, sqlstate

logger = logging.getLogger(__name__)

WRITES = 2
"""What this release writes."""
READABLE_BY = 2
"""The smallest number whose releases can read that. Number 1 refuses a field of a spec that it does not know."""

NEEDS = max(path.stem.split("_")[0] for path in (Path(__file__).parent / "migrations" / "versions").glob("0*.py"))
"""The schema that this release works on, and any later one whose rows it can read."""

_RUN_NEWER = "run the newer release, or restore a backup from before it"
_RUN_UP = "run `landlord up`"
_STANDING = select(
    select(func.max(text("version_num"))).select_from(text("alembic_version")).scalar_subquery().label("schema"),
    tables.installation.c.rows_written,
    tables.installation.c.rows_readable_by,
)


async def trouble(database: AsyncEngine) -> str | None:
    """Why this release cannot work on the database, in one line that says what to do. None: it can. Raises the
    driver's errors if the database does not answer."""
    return _trouble(await _standing(database))


async def require(database: AsyncEngine) -> None:
    """Raises SchemaTooNew if this release cannot work on the database. Says that in the log, or what this release
    reads. A database that does not answer is no reason: whoever asks waits for it."""
    try:
        found = await _standing(database)
    except (DBAPIError, OSError) as error:
        logger.warning("the database does not say what it holds (%s)", type(error).__name__)
        return
    if (wrong := _trouble(found)) is not None:
        logger.critical("%s", wrong)
        raise SchemaTooNew(wrong)
    logger.info(
        "this release works on schema %s and reads rows of number %s; the database is at schema %s, with rows of %s",
        NEEDS,
        WRITES,
        found and found.schema,
        found and found.written,
    )


@dataclass(frozen=True, slots=True)
class _Standing:
    """What a database holds: its schema, and the numbers of its rows."""

    schema: str | None
    written: int
    readable_by: int


async def _standing(database: AsyncEngine) -> _Standing | None:
    """None: no release has prepared the database, or one before this question."""
    try:
        async with single(database) as connection:
            row = (await connection.execute(_STANDING)).one_or_none()
    except DBAPIError as error:
        if sqlstate(error) not in NOT_THERE:
            raise
        return None
    return None if row is None else _Standing(row.schema, row.rows_written, row.rows_readable_by)


def _trouble(found: _Standing | None) -> str | None:
    if found is None:
        return f"the database was not prepared by this release: {_RUN_UP}"
    if found.readable_by > WRITES:
        return _too_new(str(found.schema), found.written)
    if found.schema is None or found.schema < NEEDS:
        return f"the database is at schema {found.schema}, and this release needs {NEEDS}: {_RUN_UP}"
    return None


def is_readable() -> ColumnElement[bool]:
    """For a statement: no release has written rows that this one cannot read."""
    return select(tables.installation.c.rows_readable_by <= WRITES).scalar_subquery()


def _too_new(schema: str, written: int) -> str:
    return (
        f"the database is at schema {schema}: its rows are of number {written}, and this release reads up to {WRITES}; "
        f"{_RUN_NEWER}"
    )


def require_readable(connection: Connection, schema: str) -> None:
    """Raises SchemaTooNew if a release has written rows that this one cannot read. `schema`: what it is at."""
    columns = {column["name"] for column in inspect(connection).get_columns(tables.installation.name)}
    table = tables.installation.c
    if table.rows_readable_by.name in columns:
        found = connection.execute(select(table.rows_written, table.rows_readable_by)).one_or_none()
        if found is None or found.rows_readable_by <= WRITES:
            logger.info("this release writes rows of number %s and reads those that say so", WRITES)
            return
        raise SchemaTooNew(_too_new(schema, found.rows_written))
    raise SchemaTooNew(f"the database is at schema {schema}, which this release does not know; {_RUN_NEWER}")


async def record(connection: AsyncConnection) -> None:
    """From now on the database may hold rows of this release."""
    table = tables.installation.c
    await connection.execute(
        update(tables.installation).values(
            rows_written=func.greatest(table.rows_written, WRITES),
            rows_readable_by=func.greatest(table.rows_readable_by, READABLE_BY),
        )
    )
