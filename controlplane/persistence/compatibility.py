"""Which rows this release writes, and which releases can read them: what a roll-back is judged by.

A number stands for what may be in a row: fields of a spec, words for states, kinds of executions. A release that adds
one that the release before could not live with raises both numbers; one that the release before keeps and passes over
raises the first only. The database holds the largest numbers of all releases that have started on it.
"""

import logging

from sqlalchemy import Connection, func, inspect, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.errors import SchemaTooNew
from controlplane.persistence import tables

logger = logging.getLogger(__name__)

WRITES = 2
"""What this release writes."""
READABLE_BY = 2
"""The smallest number whose releases can read that. Number 1 refuses a field of a spec that it does not know."""


def require_readable(connection: Connection, schema: str) -> None:
    """Raises SchemaTooNew if a release has written rows that this one cannot read. `schema`: what it is at."""
    columns = {column["name"] for column in inspect(connection).get_columns(tables.installation.name)}
    table = tables.installation.c
    if table.rows_readable_by.name in columns:
        found = connection.execute(select(table.rows_written, table.rows_readable_by)).one_or_none()
        if found is None or found.rows_readable_by <= WRITES:
            logger.info("this release writes rows of number %s and reads those that say so", WRITES)
            return
        detail = f"its rows are of number {found.rows_written}, and this release reads up to {WRITES}"
    else:
        detail = "which this release does not know"
    raise SchemaTooNew(f"the database is at schema {schema}: {detail}; run the newer release")


async def record(connection: AsyncConnection) -> None:
    """From now on the database may hold rows of this release."""
    table = tables.installation.c
    await connection.execute(
        update(tables.installation).values(
            rows_written=func.greatest(table.rows_written, WRITES),
            rows_readable_by=func.greatest(table.rows_readable_by, READABLE_BY),
        )
    )
