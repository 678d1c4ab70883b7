"""Counts the SQL statements that reach a database, BEGIN and COMMIT included: each is a round trip."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine


@asynccontextmanager
async def statements(*databases: AsyncEngine) -> AsyncIterator[list[str]]:
    """The statements of all connections that these engines hand out in the block, in their order."""
    seen: list[str] = []
    watched: list[Any] = []

    def hear(query: Any) -> None:
        seen.append(" ".join(query.query.split()))

    def execute(_: object, cursor: object, statement: str, *more: object) -> None:
        seen.append(" ".join(statement.split()))  # the driver does not tell of those that are prepared

    def watch(adapted: Any, *_: Any) -> None:
        connection = adapted.driver_connection
        if not any(connection is one for one in watched):
            watched.append(connection)
            connection.add_query_logger(hear)

    for database in databases:
        event.listen(database.sync_engine, "checkout", watch)
        event.listen(database.sync_engine, "before_cursor_execute", execute)
    try:
        yield seen
        await asyncio.sleep(0.05)  # the driver tells it a turn of the loop later
    finally:
        for database in databases:
            event.remove(database.sync_engine, "checkout", watch)
            event.remove(database.sync_engine, "before_cursor_execute", execute)
        for connection in watched:
            if not connection.is_closed():
                connection.remove_query_logger(hear)
