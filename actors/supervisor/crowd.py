"""The live actors of each machine, and whether so many of them are there that another one makes all later."""

import asyncio
from collections import Counter

PER_CORE = 5
"""As many live actors for each core has a busy machine before another one is started there."""
URGENT_PER_CORE = 1
"""As many more for deletes and heals: they do not wait until a burst of new tenants is done."""
PATIENCE_SECONDS = 10.0
"""A start waits so long at most: those that are there may all wait for something that does not come."""


def most(cores: int, *, urgent: bool) -> int:
    """As many may live on a busy machine when the last one is started. `urgent`: a delete or a heal."""
    return (PER_CORE + (URGENT_PER_CORE if urgent else 0)) * cores


class Crowd:
    """Promises: whoever waits for fewer on a node hears of each departure."""

    def __init__(self) -> None:
        self._nodes: dict[str, str | None] = {}
        self._departure = asyncio.Event()
        self._departures: Counter[str | None] = Counter()
        """By node."""
        self._in_vain: dict[str | None, int] = {}
        """By node: its departures when the last wait began that lasted as long as a wait may."""

    def come(self, name: str, node: str | None) -> None:
        """`node`: that it was placed on; None: any."""
        self._nodes[name] = node

    def go(self, name: str) -> None:
        if name in self._nodes:
            self._departures[self._nodes.pop(name)] += 1
        self._departure.set()
        self._departure = asyncio.Event()

    def on(self, node: str | None) -> list[str]:
        """Their names, the oldest first."""
        return [name for name, where in self._nodes.items() if where == node]

    async def fewer(self, node: str | None, than: int) -> None:
        """Wait until there are, for PATIENCE_SECONDS at most.

        Once a whole wait saw nobody leave, nobody waits until one does: those that are there wait for something
        themselves, as for a platform that hangs, and tenants of another platform would stand behind each of them."""
        before = self._departures[node]
        if self._in_vain.get(node) == before:
            return
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while len(self.on(node)) >= than:
                    await self._departure.wait()
        except TimeoutError:
            self._in_vain[node] = before
