"""A value that is looked up only now and then, for any number of readers."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Remembered(Generic[T]):
    """Keeps the answer of `look` for `seconds`. Readers that ask during a look wait for that look. `start`: makes a
    task of a coroutine and holds it."""

    def __init__(
        self,
        look: Callable[[], Coroutine[Any, Any, T]],
        *,
        seconds: float,
        start: Callable[[Coroutine[Any, Any, T]], "asyncio.Task[T]"],
    ) -> None:
        self._look = look
        self._seconds = seconds
        self._start = start
        self._known: tuple[T, float] | None = None
        self._looking: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """An answer not older than `seconds`. Raises the errors of `look`."""
        if self._known is not None and self._known[1] > time.monotonic():
            return self._known[0]
        return await asyncio.shield(self._looking or self._begin())

    def _begin(self) -> "asyncio.Task[T]":
        self._looking = self._start(self._keep())
        return self._looking

    async def _keep(self) -> T:
        try:
            found = await self._look()
            self._known = (found, time.monotonic() + self._seconds)
            return found
        finally:
            self._looking = None
