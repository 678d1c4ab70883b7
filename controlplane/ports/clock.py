"""Time, so that no test sleeps for real."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Time and waiting, injected so that no test sleeps for real."""

    def now(self) -> datetime: ...

    async def sleep(self, seconds: float) -> None: ...
