"""The queue of wake-ups: by priority, with ageing. Pure but for the waiting; the caller passes the time."""

import asyncio
import heapq
from enum import IntEnum
from itertools import count
from uuid import UUID

from controlplane.persistence.fleet import TenantKey


class Priority(IntEnum):
    """Seconds added to an entry's arrival time; the queue pops the smallest sum. An old entry of a low class therefore
    overtakes a new one of a high class."""

    CLIENT = 0
    RETRY = 5
    DRIFT = 15
    BACKLOG = 30


class WakeQueue:
    """The tenants to wake, each once. The smallest (arrival time + its priority's seconds) is next."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, TenantKey]] = []
        self._waiting: dict[UUID, float] = {}
        self._numbers = count()
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, tenant: TenantKey, priority: Priority, now: float) -> None:
        """Add a tenant. If it is queued already, the better of the two places counts."""
        turn = now + priority
        if turn < self._waiting.get(tenant.id, float("inf")):
            self._waiting[tenant.id] = turn
            heapq.heappush(self._heap, (turn, next(self._numbers), tenant))
            self._filled.set()

    async def get(self) -> TenantKey:
        """The next tenant; waits until there is one."""
        while True:
            while self._heap:
                turn, _, tenant = heapq.heappop(self._heap)
                if self._waiting.get(tenant.id) == turn:
                    del self._waiting[tenant.id]
                    return tenant
            self._filled.clear()
            await self._filled.wait()
