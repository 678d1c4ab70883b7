"""Access to the home's database for commands that work while the control plane is down."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.errors import Unavailable
from controlplane.persistence.database import open_database

T = TypeVar("T")


def ask(database_url: str, work: Callable[[AsyncEngine], Awaitable[T]], *, application: str) -> T:
    """Run `work` on a database connection of its own. Blocks. Raises Unavailable if the database does not answer."""
    return run(_ask(database_url, work, application))


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` in an event loop of its own. A driver's error becomes Unavailable, in one line."""
    try:
        return asyncio.run(work)
    except (OSError, DBAPIError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        raise Unavailable(f"the database failed: {' '.join(str(cause).split())}") from None


async def _ask(database_url: str, work: Callable[[AsyncEngine], Awaitable[T]], application: str) -> T:
    database = open_database(database_url, pool=1, application=application)
    try:
        return await work(database)
    finally:
        await database.dispose()
