"""Blocking calls off the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class Threads:
    """A small pool of a provider's own, so that a slow platform starves no other user of `asyncio.to_thread`.

    Call an effect with `run`. If it is cancelled, it ends only once its thread has returned. So after stopping a
    runner, no effect is still in flight. The time-out of the SDK in the thread bounds that wait. A second cancellation
    is not held back.

    Call a call without effect, or one that may come twice, with `ask`. If it is cancelled, its thread ends by itself.

    `translate`: a context manager around each call; it turns the errors of an SDK or of the disk into ours."""

    def __init__(
        self, name: str, size: int, *, translate: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> None:
        self._pool = ThreadPoolExecutor(max_workers=size, thread_name_prefix=name)
        self._translate = translate

    async def run(
        self, call: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        """Make an effect. Raises the call's errors, translated."""
        future = self._begin(lambda: call(*args, **kwargs))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            raise

    async def ask(
        self, call: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        """Look, or make a call that may come twice. Raises the call's errors, translated."""
        return await self._begin(lambda: call(*args, **kwargs))

    def close(self) -> None:
        """Accepts no new calls; threads at work end by themselves."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _begin(self, call: Callable[[], Result]) -> "asyncio.Future[Result]":
        def translated() -> Result:
            with self._translate():
                return call()

        return asyncio.get_running_loop().run_in_executor(self._pool, translated)
