"""Bounded admission: a number runs at once, a number waits, and all others are refused for now."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from controlplane.errors import Refused


class Slots:
    """At most `count` run at once; at most `queue` wait, each at most `patience` seconds. Beyond that: `overloaded`."""

    def __init__(self, count: int, *, queue: int, patience: float) -> None:
        self._free = asyncio.Semaphore(count)
        self._room = queue
        self._patience = patience

    @property
    def full(self) -> bool:
        """True if a new caller would have to wait."""
        return self._free.locked()

    @asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """Raises Refused overloaded (503, Retry-After)."""
        if self._free.locked():
            await self._wait()
        else:
            await self._free.acquire()
        try:
            yield
        finally:
            self._free.release()

    async def _wait(self) -> None:
        if self._room <= 0:
            raise overloaded()
        self._room -= 1
        try:
            async with asyncio.timeout(self._patience):
                await self._free.acquire()
        except TimeoutError:
            raise overloaded() from None
        finally:
            self._room += 1


class Turns:
    """For each key, at most `count` run at once. The others of that key wait behind them: at most `queue` of them, each
    at most `patience` seconds. Requests that wait for one tenant's row hold nothing that others need."""

    def __init__(self, count: int, *, queue: int, patience: float) -> None:
        self._count = count
        self._queue = queue
        self._patience = patience
        self._slots: dict[str, Slots] = {}
        self._users: Counter[str] = Counter()

    @asynccontextmanager
    async def take(self, key: str) -> AsyncIterator[None]:
        """Raises Refused overloaded (503, Retry-After)."""
        slots = self._slots.setdefault(key, Slots(self._count, queue=self._queue, patience=self._patience))
        self._users[key] += 1
        try:
            async with slots.take():
                yield
        finally:
            self._users[key] -= 1
            if not self._users[key]:
                del self._users[key], self._slots[key]


def overloaded() -> Refused:
    return Refused("too many requests at once; try again", code="overloaded", status=503, headers={"Retry-After": "1"})
