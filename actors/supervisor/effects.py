"""Effects on platforms that a sweep begins, outside of any execution."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

logger = logging.getLogger(__name__)


class Effects:
    """Promises: a sweep waits for each effect for a bounded time only, whatever its platform does. An effect that does
    not return is begun no second time, and is shown until it returns."""

    def __init__(self) -> None:
        self._under_way: dict[str, tuple[asyncio.Task[None], datetime]] = {}

    @property
    def waiting(self) -> dict[str, str]:
        """Effects that have not returned → since when, for people."""
        return {name: f"{since:%Y-%m-%dT%H:%M:%SZ}" for name, (_, since) in self._under_way.items()}

    async def within(self, seconds: float, name: str, begin: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Have the effect, and wait for it so long; then it is cancelled, and left to its thread.

        Raises its errors, and TimeoutError if it has not returned, now or in an earlier sweep."""
        if name in self._under_way:
            raise TimeoutError
        task = asyncio.create_task(begin(), name=name)
        self._under_way[name] = task, datetime.now(UTC)
        task.add_done_callback(lambda done: self._returned(name, done))
        try:
            await asyncio.wait({task}, timeout=seconds)
        finally:
            if not task.done():
                task.cancel()
        if not task.done():
            raise TimeoutError
        task.result()

    def _returned(self, name: str, task: "asyncio.Task[None]") -> None:
        self._under_way.pop(name, None)
        if not task.cancelled() and task.exception() is not None:
            logger.debug("%s ended with an error", name, exc_info=task.exception())
