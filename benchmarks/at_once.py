"""Several pieces of work at a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

AT_ONCE = 8


async def at_once(jobs: Iterable[Callable[[], Awaitable[Any]]]) -> float:
    """Seconds until the last is done, AT_ONCE at a time."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(job: Callable[[], Awaitable[Any]]) -> None:
        async with slots:
            await job()

    began = time.perf_counter()
    await asyncio.gather(*(one(job) for job in jobs))
    return time.perf_counter() - began
