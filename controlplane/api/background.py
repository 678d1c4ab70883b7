"""Work that must not depend on its request. It continues when the client goes away; the replica's end waits for it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from controlplane.api.request_id import log

T = TypeVar("T")


class Background:
    """Runs coroutines as tasks of the replica. If the caller of `shielded` is cancelled, the work is not."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Starts a task, keeps hold of it, and returns it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def shielded(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`. Cancelling the caller leaves the work running to its end."""
        task = self.start(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_report)
            raise

    async def finish(self, seconds: float) -> None:
        """Wait up to `seconds` until all work has ended, then cancel the rest."""
        if not self._tasks:
            return
        _, left = await asyncio.wait(self._tasks, timeout=seconds)
        for task in left:
            task.cancel()


def _report(task: asyncio.Task[Any]) -> None:
    """Log the error: the client that could receive it is gone."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.warning("a request whose client had left ended with %s", error, exc_info=error)
