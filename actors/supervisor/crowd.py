"""The live actors of each machine, and whether so many of them are there that another one makes all later."""

import asyncio
from contextlib import suppress

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

    def come(self, name: str, node: str | None) -> None:
        """`node`: that it was placed on; None: any."""
        self._nodes[name] = node

    def go(self, name: str) -> None:
        self._nodes.pop(name, None)
        self._departure.set()
        self._departure = asyncio.Event()

    def on(self, node: str | None) -> list[str]:
        """Their names, the oldest first."""
        return [name for name, where in self._nodes.items() if where == node]

    async def fewer(self, node: str | None, than: int) -> None:
        """Wait until there are, for PATIENCE_SECONDS at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                while len(self.on(node)) >= than:
                    await self._departure.wait()
