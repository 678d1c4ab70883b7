"""Statements that replicas and owners ask again and again, read without SQLAlchemy's own machinery.

That machinery takes about ten times the CPU of the statement itself. It still builds the statement, keeps the
connections, and deals with every failure.
"""

from collections.abc import Mapping
from typing import Any

from asyncpg import InterfaceError, PostgresError
from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.persistence.prepared import Prepared

Row = Mapping[str, Any]


class Lookup:
    """One SELECT, by its bound parameters. It reads, so it may be asked twice.

    Promises the rows, or the errors, that `database.connect()` and `execute` would give: if the driver fails, the
    statement is executed again in that way, which judges the connection and names the error."""

    def __init__(self, statement: Select[Any]) -> None:
        self._prepared = Prepared(statement)

    async def all(self, database: AsyncEngine, **parameters: Any) -> list[Row]:
        """The rows, as mappings by the names of their columns in the database."""
        prepared = self._prepared
        values = prepared.values(parameters)
        async with database.connect() as connection:
            driver = (await connection.get_raw_connection()).driver_connection
            assert driver is not None, "a connection that was just taken is open"
            try:
                found = await driver.fetch(prepared.sql, *values)
            except (PostgresError, InterfaceError, OSError):
                return [row._asdict() for row in await connection.execute(prepared.statement, parameters)]
        return [dict(record) for record in found]

    async def first(self, database: AsyncEngine, **parameters: Any) -> Row | None:
        """The first row. The statement itself should have a limit."""
        found = await self.all(database, **parameters)
        return found[0] if found else None
