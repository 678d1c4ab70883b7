"""Time as an interface, so that no test sleeps for real."""

from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Time and waiting, injected so that no test sleeps for real."""

    def now(self) -> datetime: ...

    async def sleep(self, seconds: float) -> None: ...

    def bound(self, seconds: float | None, error: Exception) -> AbstractAsyncContextManager[None]:
        """Cancels the body after that many seconds and raises `error`. None: no bound."""
        ...
