"""Blocking calls off the event loop, none of which outlives the coroutine that made it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class Threads:
    """A small pool of a provider's own, so that a slow engine starves nobody else's `asyncio.to_thread`.

    A cancelled call ends only when its thread has returned: whoever stops a runner knows that no effect is still in
    flight. What bounds that wait is the time-out of the SDK in the thread. A second cancellation is not held back.
    """

    def __init__(self, name: str, size: int) -> None:
        self._pool = ThreadPoolExecutor(max_workers=size, thread_name_prefix=name)

    async def run(
        self, call: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        future = asyncio.get_running_loop().run_in_executor(self._pool, lambda: call(*args, **kwargs))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            raise

    def close(self) -> None:
        """Takes no new calls; threads at work end by themselves."""
        self._pool.shutdown(wait=False, cancel_futures=True)
