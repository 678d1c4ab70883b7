"""The real clocks. Tests inject their own."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta


class SystemClock:
    """This machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    @asynccontextmanager
    async def bound(self, seconds: float | None, error: Exception) -> AsyncIterator[None]:
        timeout = asyncio.timeout(seconds)
        try:
            async with timeout:
                yield
        except TimeoutError:
            if not timeout.expired():  # another timeout's
                raise
            raise error from None


class RowClock(SystemClock):
    """The database's clock, by which rows have their times: what was heard of it last, and the time since then by this
    machine's steady clock. So deadlines and pauses are right whatever this machine's clock says, and if it steps.

    Until something was heard, it is this machine's clock. `step`: seconds by which that one is wrong, for fault
    tests."""

    def __init__(self, step: Callable[[], float] = lambda: 0.0) -> None:
        self._step = step
        self._heard: tuple[datetime, float] | None = None

    def heard(self, now: datetime) -> None:
        """The database said so, just now."""
        self._heard = now, time.monotonic()

    def now(self) -> datetime:
        if self._heard is None:
            return super().now() + timedelta(seconds=self._step())
        said, at = self._heard
        return said + timedelta(seconds=time.monotonic() - at)
