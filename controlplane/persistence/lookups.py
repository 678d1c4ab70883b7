"""Statements that replicas and owners ask again and again, read without SQLAlchemy's own machinery.

That machinery takes about ten times the CPU of the statement itself. It still builds the statement, keeps the
connections, and deals with every failure.
"""

import asyncio
from typing import Any

from asyncpg import InterfaceError, PostgresError
from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.persistence.driver import Row, driver_of
from controlplane.persistence.prepared import Prepared


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
        connection = await database.connect()
        idle = False
        try:
            driver = driver_of(connection)
            try:
                found = await driver.fetch(prepared.sql, *values)
                idle = True
            except (PostgresError, InterfaceError, OSError):
                return [row._asdict() for row in await connection.execute(prepared.statement, parameters)]
        finally:
            # An idle connection goes back without a word to the server, so nothing can interrupt that. Otherwise it is
            # done in a task of its own, as `async with` does it, which costs half as much as the statement.
            await (connection.close() if idle else asyncio.shield(asyncio.create_task(connection.close())))
        return [dict(record) for record in found]

    async def first(self, database: AsyncEngine, **parameters: Any) -> Row | None:
        """The first row. The statement itself should have a limit."""
        found = await self.all(database, **parameters)
        return found[0] if found else None
