"""When each token was last used: written behind the requests, not in them."""

import asyncio
import time
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.api.request_id import log
from controlplane.persistence import tokens

TOGETHER_SECONDS = 0.5
"""Tokens used within this time are written by one statement."""
_SIZE = 10_000


class LastUse:
    """Notes of one replica. A token is written at most once in `tokens.USE_SECONDS`, whatever comes with it; a write
    that fails is not tried again before that."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database
        self._again: dict[UUID, float] = {}
        """The time before which there is nothing to write for a token."""
        self._due: set[UUID] = set()
        self._writing: asyncio.Task[None] | None = None

    def note(self, token_id: UUID) -> None:
        """The token is in use now. Costs no time."""
        now = time.monotonic()
        if self._again.get(token_id, 0.0) > now:
            return
        if len(self._again) >= _SIZE:
            self._again.clear()
        self._again[token_id] = now + tokens.USE_SECONDS
        self._due.add(token_id)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())

    async def finish(self) -> None:
        """Write what is noted, now."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
        await self._flush()

    async def _write(self) -> None:
        try:
            while self._due:
                await asyncio.sleep(TOGETHER_SECONDS)
                await self._flush()
        finally:
            self._writing = None

    async def _flush(self) -> None:
        due, self._due = self._due, set()
        if not due:
            return
        try:
            await tokens.used(self._database, due)
        except (SQLAlchemyError, OSError) as error:
            log.warning("the last use of %d tokens is not written: %s", len(due), type(error).__name__)
