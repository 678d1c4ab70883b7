"""Reads of one row by its key, for many callers at once.

The pool and the round trip cost more than the row. Under load, a replica asks the database once for all requests that
came while it waited for the last answer.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from asyncpg import InterfaceError, PostgresError
from sqlalchemy import Select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from controlplane.persistence.driver import Row, driver_of
from controlplane.persistence.prepared import Prepared

HELD_SECONDS = 1.0
"""After this time the connection goes back to the pool, which judges it: it may lead to a server that lost its part."""
LONG_SECONDS = 0.1
"""While a statement has been under way for longer, new callers ask alone."""
PATIENCE_SECONDS = 2.0
"""After this time, those who wait for a statement ask alone too."""


class Batched:
    """One SELECT by a list of keys, for the callers of one event loop, on one connection of the pool.

    Promises a row as it was after the call: whoever comes while a statement is under way is answered by the next one.
    None stands for all that it cannot tell, be it a failure. The caller then asks alone (`Lookup`), and gets its row or
    its error; so nobody waits long for a row of somebody else."""

    def __init__(self, database: AsyncEngine, statement: Select[Any], key: str) -> None:
        """`statement`: with the parameter `keys`. `key`: the column that they are compared with."""
        self._database = database
        self._prepared = Prepared(statement)
        self._key = key
        self._asked: list[tuple[str, asyncio.Future[Row | None]]] = []
        self._asking: asyncio.Task[None] | None = None
        self._began = 0.0
        self._held: AsyncConnection | None = None
        self._expired = False

    async def first(self, key: str) -> Row | None:
        """The row with this key. None: ask alone."""
        loop = asyncio.get_running_loop()
        if self._asking is None:
            self._begin(loop)
        elif loop.time() - self._began > LONG_SECONDS:
            return None
        asked: asyncio.Future[Row | None] = loop.create_future()
        self._asked.append((key, asked))
        return await asked

    async def close(self) -> None:
        """Give the connection back. Those who wait ask alone."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        await self._give_back()

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._began = loop.time()
        self._asking = loop.create_task(self._work())

    async def _work(self) -> None:
        """Until nobody waits, and no connection must go back."""
        batch: list[tuple[str, asyncio.Future[Row | None]]] = []
        try:
            while self._asked or self._expired:
                if self._expired:
                    await self._give_back()
                batch, self._asked = self._asked, []
                self._began = asyncio.get_running_loop().time()
                found = await self._find([key for key, _ in batch]) if batch else {}
                for key, asked in batch:
                    if not asked.done():
                        asked.set_result(found.get(key))
        finally:
            self._asking = None
            left, self._asked = [*batch, *self._asked], []
            for _, asked in left:
                if not asked.done():
                    asked.set_result(None)

    async def _find(self, keys: list[str]) -> Mapping[str, Row]:
        """The rows by their keys; none after a failure."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                driver = driver_of(await self._connection())
                rows = await driver.fetch(self._prepared.sql, *self._prepared.values({"keys": keys}))
        except (PostgresError, InterfaceError, SQLAlchemyError, OSError):
            await self._part()
            return {}
        return {row[self._key]: row for row in rows}

    async def _connection(self) -> AsyncConnection:
        if self._held is None:
            self._held = await self._database.connect()
            asyncio.get_running_loop().call_later(HELD_SECONDS, self._expire, self._held)
        return self._held

    def _expire(self, connection: AsyncConnection) -> None:
        if connection is not self._held:
            return
        self._expired = True
        if self._asking is None:
            self._begin(asyncio.get_running_loop())

    async def _give_back(self) -> None:
        self._expired = False
        held, self._held = self._held, None
        if held is not None:
            await held.close()

    async def _part(self) -> None:
        """The connection may be in any state."""
        if self._held is not None:
            await self._held.invalidate()
        await self._give_back()
