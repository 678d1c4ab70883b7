"""One AsyncEngine per process and event loop. The owner of the loop makes it lazily; it is never pickled."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from pydantic_core import from_json
from sqlalchemy import URL, Dialect, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from controlplane.persistence import discretion
from controlplane.persistence.address import Address, address
from controlplane.persistence.columns import to_json
from controlplane.persistence.connector import Connector

LOCK_TIMEOUT_MS = 10_000
STATEMENT_TIMEOUT_MS = 30_000
STANDSTILL_MS = 60_000
"""If the process of a transaction does nothing for this time, the database ends the transaction. A stopped process
holds the row of its tenant at most this long. A transaction with the lock of the event order has less
(`transaction.STANDSTILL_MS`)."""
READ_ONLY = "25006"
RANDOM_PAGE_COST = "1.1"
"""As for a disk without a moving head, or a table that is in memory. With Postgres' own 4, some questions about a large
fleet would read whole tables to find a page of rows."""
GONE_MS = 10_000
"""If the other end of a TCP connection does not answer for this time, the connection is closed, and its transaction
ended."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Milliseconds that the database gives a wait for a lock, a statement, and a transaction that stands still; 0: no
    bound."""

    lock: int = LOCK_TIMEOUT_MS
    statement: int = STATEMENT_TIMEOUT_MS
    standstill: int = STANDSTILL_MS


def open_database(
    database_url: str,
    *,
    pool: int,
    overflow: int = 0,
    application: str = "landlord",
    bounds: Bounds = Bounds(),
    brief: bool = False,
) -> AsyncEngine:
    """Keeps `pool` connections, and opens up to `overflow` more at need. No statement or lock waits longer than
    `bounds` says. Its errors hold no value of a row or a parameter. `brief`: for a process that lives for
    seconds, and whose statements find their rows by a key. Each of them has one plan on a connection, whatever its
    values, and nothing is asked about the server.

    Raises SettingsError if the URL is not one that Postgres' own clients would take (`address`)."""
    database = create_async_engine(
        # The real address, which is more than such a URL can say, is the connector's.
        URL.create("postgresql+asyncpg", database=(where := address(database_url)).database),
        async_creator=connector(where, application=application, bounds=bounds, brief=brief),
        pool_size=pool,
        max_overflow=overflow,
        pool_timeout=10,
        pool_pre_ping=False,
        hide_parameters=True,
        json_serializer=to_json,
        json_deserializer=from_json,
    )
    if brief:
        _ask_nothing(database.sync_engine.dialect)
    event.listen(database.sync_engine, "handle_error", discretion.hush)
    event.listen(database.sync_engine, "handle_error", _part_with_standbys)
    return database


def connector(where: Address, *, application: str, bounds: Bounds = Bounds(), brief: bool = False) -> Connector:
    return Connector(
        where,
        {
            "application_name": application,
            "lock_timeout": str(bounds.lock),
            "statement_timeout": str(bounds.statement),
            "idle_in_transaction_session_timeout": str(bounds.standstill),
            "tcp_keepalives_idle": "5",
            "tcp_keepalives_interval": "2",
            "tcp_keepalives_count": "3",
            "tcp_user_timeout": str(GONE_MS),
            "jit": "off",
            "random_page_cost": RANDOM_PAGE_COST,
            "plan_cache_mode": "force_generic_plan" if brief else "auto",
        },
    )


def _ask_nothing(dialect: Dialect) -> None:
    """SQLAlchemy begins with four questions about the server. Their answers are for its reflection of tables, and for
    how statements are written that we do not have, but for the isolation level, which is always the same here."""
    setattr(dialect, "initialize", lambda connection: None)  # noqa: B010, a method of an instance
    dialect.default_isolation_level = "READ COMMITTED"


def _part_with_standbys(context: ExceptionContext) -> None:
    """A server that takes no writes has lost its part in a fail-over. Its connections would live on for ever, so all
    that are open are given up, and the next ones look for the server that takes writes."""
    if context.original_exception is not None and discretion.sqlstate(context.original_exception) == READ_ONLY:
        context.is_disconnect = True


@asynccontextmanager
async def single(database: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection on which each statement stands alone, without the round trips of BEGIN and COMMIT. Use it for reads:
    at READ COMMITTED a transaction would not make several statements see the same moment either. Use it for a write if
    that is one guarded statement."""
    async with database.connect() as connection:
        yield await connection.execution_options(isolation_level="AUTOCOMMIT")
