"""Statements that are compiled when their module is imported.

SQLAlchemy compiles a statement at its first execution on an engine, and that takes ten times the CPU of an execution.
A tenant's owner is a process that lives for one execution or two, so it would compile nearly each time. It is a fork of
a process that has imported this.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import BindParameter, ColumnElement, cast, select
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.exc import MultipleResultsFound, NoResultFound
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.sql import Executable

from controlplane.persistence.columns import to_json
from controlplane.persistence.driver import Row, alone, fetch

T = TypeVar("T")

_DIALECT = asyncpg.dialect(json_serializer=to_json)  # type: ignore[no-untyped-call]


class Prepared:
    """One statement, by its bound parameters. Its rows have the names of the columns in the database."""

    def __init__(self, statement: Executable) -> None:
        # A list of values is written out. Such a statement needs a default for each of its parameters.
        compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})  # type: ignore[attr-defined]
        self.sql = str(compiled)
        self._names: Sequence[str] = compiled.positiontup or ()
        self._sent = {name: _sent(bind) for name, bind in compiled.binds.items()}
        fixed = compiled.construct_params(_check=False)
        self._fixed = {name: self._as_sent(name, value) for name, value in fixed.items()}

    async def all(self, connection: AsyncConnection, **parameters: Any) -> list[Row]:
        """Execute it, as `connection.execute` would, and return its rows. Raises the same errors."""
        return await fetch(connection, self.sql, self.values(parameters))

    async def first(self, connection: AsyncConnection, **parameters: Any) -> Row | None:
        """The first row, if there is one."""
        found = await self.all(connection, **parameters)
        return found[0] if found else None

    async def one(self, connection: AsyncConnection, **parameters: Any) -> Row:
        """The only row. Raises NoResultFound, MultipleResultsFound."""
        return only(await self.all(connection, **parameters), "row")

    async def alone(self, database: AsyncEngine, **parameters: Any) -> list[Row]:
        """Execute it by itself, without BEGIN and COMMIT, and return its rows. Raises the same errors."""
        return await alone(database, self.sql, self.values(parameters))

    def values(self, parameters: Mapping[str, Any]) -> tuple[Any, ...]:
        """As the driver takes them, in their order."""
        values = self._fixed | {name: self._as_sent(name, value) for name, value in parameters.items()}
        return tuple(values[name] for name in self._names)

    def _as_sent(self, name: str, value: Any) -> Any:
        process = self._sent.get(name)
        return value if process is None or value is None else process(value)


def only(found: Sequence[Row], what: str) -> Row:
    """The one row of `found`. Raises NoResultFound, MultipleResultsFound; `what`: for their text."""
    if not found:
        raise NoResultFound(f"there is no {what}")
    if len(found) > 1:
        raise MultipleResultsFound(f"there are {len(found)} rows, and not one {what}")
    return found[0]


def _sent(bind: BindParameter[Any]) -> Callable[[Any], Any] | None:
    """How a value of that parameter is made ready for the driver."""
    return bind.type.dialect_impl(_DIALECT).bind_processor(_DIALECT)


def unseen(parameter: BindParameter[T]) -> ColumnElement[T]:
    """The parameter's value, which Postgres does not see while it plans.

    Postgres keeps the plan of a prepared statement unless plans for the values at hand seem to be cheaper. By the
    length of a list, or the place where a range begins, they seem so. Then it plans each execution, which can take five
    times as long as the execution itself (`plan_cache_mode` in its manual)."""
    return cast(select(parameter).scalar_subquery(), parameter.type)
