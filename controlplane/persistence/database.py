"""One AsyncEngine per process and event loop. The owner of the loop makes it lazily; it is never pickled."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from controlplane.errors import SettingsError

LOCK_TIMEOUT_MS = 10_000
STATEMENT_TIMEOUT_MS = 30_000


def open_database(database_url: str, *, pool: int, overflow: int = 0, application: str = "landlord") -> AsyncEngine:
    """Keeps `pool` connections, and opens up to `overflow` more at need. No statement or lock waits for ever.

    Raises SettingsError if the URL is not a Postgres one."""
    if database_url.startswith(("postgres://", "postgresql://")):
        database_url = "postgresql+asyncpg://" + database_url.split("://", 1)[1]
    if not database_url.startswith("postgresql+asyncpg://"):
        raise SettingsError("LANDLORD_DATABASE_URL must be a postgresql:// URL")
    return create_async_engine(
        database_url,
        pool_size=pool,
        max_overflow=overflow,
        pool_timeout=10,
        pool_pre_ping=False,
        connect_args={
            "timeout": 10,
            "server_settings": {
                "application_name": application,
                "lock_timeout": str(LOCK_TIMEOUT_MS),
                "statement_timeout": str(STATEMENT_TIMEOUT_MS),
                "idle_in_transaction_session_timeout": "60000",
                "jit": "off",
            },
        },
    )


@asynccontextmanager
async def single(database: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection on which each statement stands alone, without the round trips of BEGIN and COMMIT. Use it for reads:
    at READ COMMITTED a transaction would not make several statements see the same moment either. Use it for a write if
    that is one guarded statement."""
    async with database.connect() as connection:
        yield await connection.execution_options(isolation_level="AUTOCOMMIT")
