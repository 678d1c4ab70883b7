"""Background tasks that are never awaited, kept until they are done."""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any


class Tasks:
    """Keeps a reference to each task: the loop alone would let one be collected in the middle of its work."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        task = asyncio.create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    def __iter__(self) -> Iterator["asyncio.Task[None]"]:
        """The tasks that are not done yet."""
        return iter(tuple(self._running))
