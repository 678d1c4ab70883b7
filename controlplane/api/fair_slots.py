"""Slots that several callers share fairly: whoever asks for many waits for whoever asks for few."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

from controlplane.api.concurrency_limit import overloaded


class FairSlots:
    """At most `slots` run at once, and at most `most` of one key. The others wait, each at most `patience` seconds: at
    most `queue` in all, and at most `most_queued` of one key. A slot that is given back goes to the key that runs the
    fewest; among equals, to whoever has waited longest."""

    def __init__(self, slots: int, *, most: int, queue: int, most_queued: int, patience: float) -> None:
        self._slots = slots
        self._most = most
        self._queue = queue
        self._most_queued = most_queued
        self._patience = patience
        self._running: Counter[str] = Counter()
        self._lines: dict[str, dict[int, asyncio.Future[None]]] = {}
        """Key → those who wait, in the order in which they came."""
        self._numbers = count()

    @asynccontextmanager
    async def take(self, key: str) -> AsyncIterator[None]:
        """Raises Refused overloaded (503, Retry-After)."""
        if self.has_room(key):
            self._running[key] += 1
        else:
            await self._wait(key)
        try:
            yield
        finally:
            self._give_back(key)

    def has_room(self, key: str) -> bool:
        """True if this key would not have to wait."""
        return self._running.total() < self._slots and self._running[key] < self._most

    async def _wait(self, key: str) -> None:
        waiting = sum(map(len, self._lines.values()))
        if waiting >= self._queue or len(self._lines.get(key, ())) >= self._most_queued:
            raise overloaded()
        number, granted = next(self._numbers), asyncio.get_running_loop().create_future()
        self._lines.setdefault(key, {})[number] = granted
        try:
            async with asyncio.timeout(self._patience):
                await granted
        except (TimeoutError, asyncio.CancelledError) as error:
            self._leave(key, number)
            if granted.done() and not granted.cancelled():
                self._give_back(key)  # it came in the very moment in which nobody waited for it any more
            if isinstance(error, TimeoutError):
                raise overloaded() from None
            raise

    def _give_back(self, key: str) -> None:
        self._running[key] -= 1
        if not self._running[key]:
            del self._running[key]
        while (next_one := self._next()) is not None:
            following, number = next_one
            granted = self._lines[following][number]
            self._leave(following, number)
            if not granted.done():
                self._running[following] += 1
                granted.set_result(None)

    def _next(self) -> tuple[str, int] | None:
        """The key whose turn it is, and the number of the one that waits for it."""
        ready = [(self._running[key], next(iter(line)), key) for key, line in self._lines.items() if self.has_room(key)]
        if not ready:
            return None
        _, number, key = min(ready)
        return key, number

    def _leave(self, key: str, number: int) -> None:
        line = self._lines.get(key, {})
        line.pop(number, None)
        if not line:
            self._lines.pop(key, None)
