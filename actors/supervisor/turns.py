"""Turns that are taken in the order in which they were asked for, as many at once as a limit that may change."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Turns:
    """Promises: no turn begins while `limit` of them are under way, and nobody who came later has a turn before. A
    lower limit ends none: they run out. Whoever is cancelled, waiting or not, keeps nothing."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> int:
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self._limit = limit
        self._begin()

    @asynccontextmanager
    async def take(self) -> AsyncIterator[bool]:
        """True: it had to wait, so what was known before may have changed."""
        waits = self._held >= self._limit
        if waits:
            await self._wait()
        else:
            self._held += 1
        try:
            yield waits
        finally:
            self._end()

    async def _wait(self) -> None:
        """Returns with a turn that is counted already."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                with suppress(ValueError):
                    self._waiting.remove(turn)
            else:
                self._end()
            raise

    def _end(self) -> None:
        self._held -= 1
        self._begin()

    def _begin(self) -> None:
        while self._waiting and self._held < self._limit:
            turn = self._waiting.popleft()
            if not turn.cancelled():
                self._held += 1
                turn.set_result(None)
