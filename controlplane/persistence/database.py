"""One AsyncEngine per process and event loop. The owner of the loop makes it lazily; it is never pickled."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from controlplane.errors import SettingsError
from controlplane.persistence import discretion
from controlplane.persistence.columns import to_json

LOCK_TIMEOUT_MS = 10_000
STATEMENT_TIMEOUT_MS = 30_000
STANDSTILL_MS = 60_000
"""If the process of a transaction does nothing for this time, the database ends the transaction. A stopped process
holds the row of its tenant at most this long. A transaction with the lock of the event order has less
(`transaction.STANDSTILL_MS`)."""
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
    database_url: str, *, pool: int, overflow: int = 0, application: str = "landlord", bounds: Bounds = Bounds()
) -> AsyncEngine:
    """Keeps `pool` connections, and opens up to `overflow` more at need. No statement or lock waits longer than
    `bounds` says. Its errors hold no value of a row or a parameter.

    Raises SettingsError if the URL is not a Postgres one."""
    if database_url.startswith(("postgres://", "postgresql://")):
        database_url = "postgresql+asyncpg://" + database_url.split("://", 1)[1]
    if not database_url.startswith("postgresql+asyncpg://"):
        raise SettingsError("LANDLORD_DATABASE_URL must be a postgresql:// URL")
    database = create_async_engine(
        database_url,
        pool_size=pool,
        max_overflow=overflow,
        pool_timeout=10,
        pool_pre_ping=False,
        hide_parameters=True,
        json_serializer=to_json,
        connect_args={
            "timeout": 10,
            "server_settings": {
                "application_name": application,
                "lock_timeout": str(bounds.lock),
                "statement_timeout": str(bounds.statement),
                "idle_in_transaction_session_timeout": str(bounds.standstill),
                "tcp_keepalives_idle": "5",
                "tcp_keepalives_interval": "2",
                "tcp_keepalives_count": "3",
                "tcp_user_timeout": str(GONE_MS),
                "jit": "off",
            },
        },
    )
    event.listen(database.sync_engine, "handle_error", discretion.hush)
    return database


@asynccontextmanager
async def single(database: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection on which each statement stands alone, without the round trips of BEGIN and COMMIT. Use it for reads:
    at READ COMMITTED a transaction would not make several statements see the same moment either. Use it for a write if
    that is one guarded statement."""
    async with database.connect() as connection:
        yield await connection.execution_options(isolation_level="AUTOCOMMIT")
