"""Statements for the driver itself, past SQLAlchemy's own machinery, which takes several times the CPU of a statement.

SQLAlchemy still keeps the connections, begins and ends their transactions, and judges each failure.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

Row = Mapping[str, Any]
"""By the names of the columns in the database."""


def driver_of(connection: AsyncConnection) -> Any:
    """The driver's own connection, of one that was just taken, hence is open."""
    return _adapted(connection).driver_connection


async def fetch(connection: AsyncConnection, sql: str, values: Sequence[Any]) -> list[Row]:
    """Execute a statement in the connection's transaction, as `exec_driver_sql` would. Raises the same errors."""
    return await _fetch(connection, sql, values, in_transaction=True)


async def alone(database: AsyncEngine, sql: str, values: Sequence[Any]) -> list[Row]:
    """Execute a statement by itself, without the round trips of BEGIN and COMMIT: a read, or one guarded write. Raises
    the errors that it would raise in `single`."""
    connection = await database.connect()
    idle = False
    try:
        found = await _fetch(connection, sql, values, in_transaction=False)
        idle = True
    finally:
        # An idle connection goes back without a word to the server, so nothing can interrupt that. Otherwise it is
        # done in a task of its own, as `async with` does it, which costs half as much as the statement.
        await (connection.close() if idle else asyncio.shield(asyncio.create_task(connection.close())))
    return found


async def _fetch(connection: AsyncConnection, sql: str, values: Sequence[Any], *, in_transaction: bool) -> list[Row]:
    adapted = _adapted(connection)
    try:
        if in_transaction and adapted.dbapi_connection._transaction is None:  # and there is none with AUTOCOMMIT
            await adapted.dbapi_connection._start_transaction()
        found: list[Row] = await adapted.driver_connection.fetch(sql, *values)
    except (Exception, asyncio.CancelledError) as error:
        await connection.run_sync(_judge, sql, values, error)
        raise
    return found


def _adapted(connection: AsyncConnection) -> Any:
    """SQLAlchemy's place in the pool."""
    assert connection.sync_connection is not None
    return connection.sync_connection.connection


def _judge(connection: Connection, sql: str, values: Sequence[Any], error: BaseException) -> NoReturn:
    """What SQLAlchemy does when a statement of its own fails: name the error, and part with a connection that is broken
    or whose statement was left. It has no public way to ask for that, so a test compares the errors of both ways
    (tests/integration/test_driver.py)."""
    adapted: Any = connection.connection.dbapi_connection
    try:
        if isinstance(error, Exception):
            adapted._handle_exception(error)
        raise error
    except BaseException as named:
        connection._handle_dbapi_exception(named, sql, tuple(values), None, None)
