"""Statements that replicas and owners ask again and again, read without SQLAlchemy's own machinery.

That machinery takes about ten times the CPU of the statement itself. It still builds the statement, keeps the
connections, and deals with every failure.
"""

from typing import Any

from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.persistence.driver import Row
from controlplane.persistence.prepared import Prepared


class Lookup:
    """One SELECT, by its bound parameters."""

    def __init__(self, statement: Select[Any]) -> None:
        self._prepared = Prepared(statement)

    async def all(self, database: AsyncEngine, **parameters: Any) -> list[Row]:
        """The rows, as mappings by the names of their columns in the database."""
        return [dict(row) for row in await self._prepared.alone(database, **parameters)]

    async def first(self, database: AsyncEngine, **parameters: Any) -> Row | None:
        """The first row. The statement itself should have a limit."""
        found = await self.all(database, **parameters)
        return found[0] if found else None
