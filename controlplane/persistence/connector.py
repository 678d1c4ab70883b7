"""Opens connections for the pool, straight to Postgres or through a pooler in session mode."""

from collections.abc import Mapping
from typing import Any

import asyncpg

from controlplane.errors import SettingsError
from controlplane.persistence.address import SETTING, Address

CONNECT_SECONDS = 10.0


class Connector:
    """Called for each new connection; its settings hold for all of the session.

    Settings go with the first packet. A pooler refuses those that it does not know: from then on they are a statement
    of their own."""

    def __init__(self, address: Address, settings: Mapping[str, str]) -> None:
        self._address = address
        self._settings = dict(settings)
        self._by_statement = False

    async def __call__(self) -> Any:
        if not self._by_statement:
            try:
                return await self._connect(self._settings)
            except asyncpg.ProtocolViolationError as error:
                if "startup parameter" not in str(error):
                    raise
                self._by_statement = True
        connection = await self._connect({})
        pairs = ", ".join(f"set_config('{name}', '{value}', false)" for name, value in self._settings.items())
        await connection.execute(f"SELECT {pairs}")
        return connection

    async def _connect(self, settings: dict[str, str], **more: Any) -> Any:
        return await asyncpg.connect(
            self._address.dsn, timeout=CONNECT_SECONDS, server_settings=settings, **self._address.options, **more
        )

    async def require_sessions(self) -> None:
        """Raises SettingsError if two of our connections are not two sessions of the server, as behind a pooler in
        transaction mode: there a LISTEN hears nothing, and a lock of a session is anybody's."""
        one, other = await self._bare(), await self._bare()
        try:
            # In turns: such a pooler gives the next transaction the server connection that is free.
            seen = [await _backend(connection) for connection in (one, other, one, other)]
        finally:
            await one.close()
            await other.close()
        if seen[0] == seen[1] or seen[:2] != seen[2:]:
            raise SettingsError(
                f"{SETTING}: a pooler in transaction mode answers there, and Landlord needs sessions (LISTEN, locks); "
                "name its port in session mode (Supabase: 5432), or the database itself (Neon: without -pooler)"
            )

    async def _bare(self) -> Any:
        return await self._connect({}, statement_cache_size=0)


async def _backend(connection: Any) -> int:
    """The server's process behind this connection for the length of one transaction."""
    async with connection.transaction():
        return int(await connection.fetchval("SELECT pg_backend_pid()"))
