"""Workers that stand ready: processes that are forked and connected to Ray, and become the next tenants' actors.

A tenant's actor is a process. If none stands ready, a POST of a new tenant waits until one is forked and connected. Ray
keeps some at its start and does not replace those that were taken.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from actors.raylet import Raylet, Workers
from actors.supervisor.tasks import Tasks
from controlplane.errors import Unavailable

logger = logging.getLogger(__name__)

KEEP_SECONDS = 3600
"""Ray ends an unused worker after this time, if the node has more of them than CPUs; then the next sweep orders another
one. So those that are too many, by a wrong count, go as well."""

START_SECONDS = 10.0
"""An ordered worker that has not come after this time is not expected any more."""

LOOK_SECONDS = 1.0
"""While ordered workers are expected, it looks for them so often: one that came and died between two looks counts as
expected until START_SECONDS have passed."""

PAUSE_SECONDS = 0.1
"""Workers are replaced so long after the last activation: in a burst the cores belong to the tenants."""


class Ordering(Protocol):
    """What the pool asks of a raylet, see `raylet.Raylet`."""

    async def workers(self) -> Workers: ...
    async def start(self, number: int, *, keep_seconds: int) -> None: ...
    async def dismiss(self) -> None: ...
    async def close(self) -> None: ...


@dataclass(slots=True)
class _Node:
    raylet: Ordering
    seen: frozenset[str] = frozenset()
    """The workers that were there when it was last asked."""
    expected: int = 0
    """Ordered workers that have not come yet."""
    ordered_at: float = 0.0


@dataclass(slots=True)
class Pool:
    """Keeps `wanted` unused workers on each node.

    Promises: `fill`, at each sweep, orders what is missing and no more, so a worker that was killed is replaced within
    a sweep; the same happens once activations pause. While the cluster drains, it orders none, and unused ones end. If
    a raylet does not answer, its node waits for the next sweep. 0 wanted: it asks nobody.
    """

    wanted: int
    tasks: Tasks
    addresses: Callable[[], Collection[str]]
    """Of the raylets on whose nodes tenants' actors may begin."""
    draining: Callable[[], bool] = lambda: False
    """Whether the cluster drains: no actor begins then."""
    connect: Callable[[str], Ordering] = Raylet
    clock: Callable[[], float] = time.monotonic
    _nodes: dict[str, _Node] = field(default_factory=dict)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _activations: int = 0
    _timer: asyncio.TimerHandle | None = None

    async def fill(self) -> int:
        """Returns the number of unused workers, before those that it orders have come."""
        if self.wanted == 0:
            return 0
        async with self._turn:
            addresses = self.addresses()
            for gone in self._nodes.keys() - set(addresses):
                await self._nodes.pop(gone).raylet.close()
            work = self._dismiss if self.draining() else self._fill
            found = sum([await work(address) for address in addresses])
        if self._activations == 0 and any(node.expected for node in self._nodes.values()):
            self._later(LOOK_SECONDS)
        return found

    @contextmanager
    def activation(self) -> Iterator[None]:
        """Held while an actor is activated, or waits for that. PAUSE_SECONDS after the last one, the pool is filled."""
        self._activations += 1
        self._not_later()
        try:
            yield
        finally:
            self._activations -= 1
            if self._activations == 0 and self.wanted > 0:
                self._later(PAUSE_SECONDS)

    def _later(self, seconds: float) -> None:
        self._not_later()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._begin)

    def _not_later(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin(self) -> None:
        self._timer = None
        self.tasks.begin(self._fill_now(), "fill the pool")

    async def _fill_now(self) -> None:
        await self.fill()

    async def _fill(self, address: str) -> int:
        node = self._node(address)
        try:
            workers = await node.raylet.workers()
            node.expected = self._still_expected(node, workers)
            node.seen = workers.all
            missing = self.wanted - len(workers.unused) - node.expected
            if missing > 0:
                await node.raylet.start(missing, keep_seconds=KEEP_SECONDS)
                node.expected += missing
                node.ordered_at = self.clock()
        except Unavailable as error:
            logger.warning("no worker is ordered: %s", error)
            return 0
        return len(workers.unused)

    async def _dismiss(self, address: str) -> int:
        """The unused workers of a node end."""
        node = self._node(address)
        node.expected = 0
        try:
            await node.raylet.dismiss()
        except Unavailable as error:
            logger.warning("unused workers stay: %s", error)
        return 0

    def _node(self, address: str) -> _Node:
        if address not in self._nodes:
            self._nodes[address] = _Node(self.connect(address))
        return self._nodes[address]

    def _still_expected(self, node: _Node, workers: Workers) -> int:
        """Some may have come and been taken already, so every new worker counts as one of them."""
        if self.clock() - node.ordered_at >= START_SECONDS:
            return 0
        return max(0, node.expected - len(workers.all - node.seen))
