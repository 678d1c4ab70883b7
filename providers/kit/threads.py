"""Blocking calls off the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from typing import ParamSpec, TypeVar

from controlplane import tracing
from controlplane.errors import Unavailable
from providers.kit.places import Places

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

LOOK_SECONDS = 60.0
"""A look is given up after this time, whatever the SDK in its thread does."""


class Threads:
    """Small pools of a provider's own, so that a slow platform starves no other user of threads.

    Make an effect with `run`. If it is cancelled, it ends only once its thread has returned. So after stopping a
    runner, no effect is still in flight. The time-out of the SDK in the thread bounds that wait. A second cancellation
    is not held back.

    Make a call without effect, or one that may come twice, with `ask`. If it is cancelled, or takes longer than
    `patience`, its caller has control at once; its thread ends by itself, and what it says then is dropped. A platform
    that hangs holds `size` such threads at most; then further looks fail at once.

    Effects and looks have places of their own: neither waits for hanging ones of the other. No thread keeps the process
    from ending.

    `translate`: a context manager around each call; it turns the errors of an SDK or of the disk into ours."""

    def __init__(
        self,
        name: str,
        size: int,
        *,
        translate: Callable[[], AbstractContextManager[None]] = nullcontext,
        patience: float | None = LOOK_SECONDS,
    ) -> None:
        """`size`: the number of effects, and the number of looks, at once. `patience`: seconds for one look."""
        self._name = name
        self._effects = Places(name, size)
        self._looks = Places(f"{name}-look", size)
        self._translate = translate
        self._patience = patience

    @property
    def abandoned(self) -> int:
        """The number of looks whose threads hang and for which no caller waits any more."""
        return self._looks.given_up

    async def run(
        self, call: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        """Make an effect. Raises the call's errors, translated."""
        with self._traced(call):
            future = asyncio.wrap_future(self._effects.begin(self._translated(lambda: call(*args, **kwargs))))
            try:
                return await asyncio.shield(future)
            except asyncio.CancelledError:
                await asyncio.wait([future])
                raise

    async def ask(
        self, call: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        """Look, or make a call that may come twice. Raises the call's errors, translated, and Unavailable if it takes
        too long, or if too many looks hang."""
        future: Future[Result] = self._looks.begin(self._translated(lambda: call(*args, **kwargs)))
        patience = asyncio.timeout(self._patience)
        try:
            with self._traced(call):
                async with patience:
                    return await asyncio.wrap_future(future)
        except TimeoutError:
            if not patience.expired():  # the call's own
                raise
            raise Unavailable(f"{self._name} has not answered within {self._patience:g} s") from None
        finally:
            if not future.done():
                self._looks.give_up(future)

    def _traced(self, call: Callable[..., object]) -> AbstractContextManager[tracing.Span]:
        """A span by the call's own name, within a step."""
        return tracing.span(f"{self._name}: {getattr(call, '__name__', 'call').strip('_')}")

    def close(self) -> None:
        """Accepts no new calls; threads at work end by themselves."""
        self._effects.close()
        self._looks.close()

    def _translated(self, call: Callable[[], Result]) -> Callable[[], Result]:
        def translated() -> Result:
            with self._translate():
                return call()

        return translated
