"""Blocking calls off the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class Threads:
    """A small pool of a provider's own, so that a slow platform starves nobody else's `asyncio.to_thread`.

    An effect is made with `run`: when it is cancelled, it ends only once its thread has returned, so that whoever stops
    a runner knows that no effect is still in flight. What bounds that wait is the time-out of the SDK in the thread. A
    second cancellation is not held back. A call that has no effect, or one that may come twice, is made with `ask`:
    when it is cancelled, its thread is left to end by itself.

    `translate`: each call is made within it; a context manager that turns the errors of an SDK or of the disk into
    ours."""

    def __init__(
        self, name: str, size: int, *, translate: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> None:
        self._pool = ThreadPoolExecutor(max_workers=size, thread_name_prefix=name)
        self._translate = translate

    async def run(
        self, call: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        """Make an effect. Raises what the call raises, translated."""
        future = self._begin(lambda: call(*args, **kwargs))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            raise

    async def ask(
        self, call: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        """Look, or do what may come twice. Raises what the call raises, translated."""
        return await self._begin(lambda: call(*args, **kwargs))

    def close(self) -> None:
        """Takes no new calls; threads at work end by themselves."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _begin(self, call: Callable[[], Result]) -> "asyncio.Future[Result]":
        def translated() -> Result:
            with self._translate():
                return call()

        return asyncio.get_running_loop().run_in_executor(self._pool, translated)
