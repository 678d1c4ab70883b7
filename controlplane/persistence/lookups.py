"""Statements that replicas ask thousands of times a second, prepared once and read without SQLAlchemy's own machinery.

That machinery takes about ten times the CPU of the statement itself. It still builds the statement, keeps the
connections, and deals with every failure.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from asyncpg import InterfaceError, PostgresError
from sqlalchemy import BindParameter, Select
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.persistence.columns import to_json

Row = Mapping[str, Any]
_DIALECT = asyncpg.dialect(json_serializer=to_json)  # type: ignore[no-untyped-call]


class Lookup:
    """One SELECT, by its bound parameters. It reads, so it may be asked twice.

    Promises the rows, or the errors, that `database.connect()` and `execute` would give: if the driver fails, the
    statement is executed again in that way, which judges the connection and names the error."""

    def __init__(self, statement: Select[Any]) -> None:
        self._statement = statement
        # A list of values is written out. Such a statement needs a default for each of its parameters.
        compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
        self._sql = str(compiled)
        self._names: Sequence[str] = compiled.positiontup or ()
        self._sent = {name: _sent(bind) for name, bind in compiled.binds.items()}
        fixed = compiled.construct_params(_check=False)
        self._fixed = {name: self._as_sent(name, value) for name, value in fixed.items()}

    async def all(self, database: AsyncEngine, **parameters: Any) -> list[Row]:
        """The rows, as mappings by the names of their columns in the database."""
        values = self._fixed | {name: self._as_sent(name, value) for name, value in parameters.items()}
        async with database.connect() as connection:
            driver = (await connection.get_raw_connection()).driver_connection
            assert driver is not None, "a connection that was just taken is open"
            try:
                found = await driver.fetch(self._sql, *[values[name] for name in self._names])
            except (PostgresError, InterfaceError, OSError):
                return [row._asdict() for row in await connection.execute(self._statement, parameters)]
        return [dict(record) for record in found]

    async def first(self, database: AsyncEngine, **parameters: Any) -> Row | None:
        """The first row. The statement itself should have a limit."""
        found = await self.all(database, **parameters)
        return found[0] if found else None

    def _as_sent(self, name: str, value: Any) -> Any:
        process = self._sent.get(name)
        return value if process is None or value is None else process(value)


def _sent(bind: BindParameter[Any]) -> Callable[[Any], Any] | None:
    """How a value of that parameter is made ready for the driver."""
    return bind.type.dialect_impl(_DIALECT).bind_processor(_DIALECT)
