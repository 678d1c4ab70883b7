"""State that a provider keeps in memory and that every process of the cluster must see as one: an actor holds it.

A provider itself says that it has such state (`registry.enabled_compute`); this module knows no provider by name.
"""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError

from actors.naming import shared_actor
from actors.options import for_shared
from controlplane.errors import Unavailable
from controlplane.settings import load_settings
from providers import registry


class Shared:
    """Holds one provider's state. Restarted for ever, and empty after a restart, since it is in memory."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._state = registry.shared_state(provider, load_settings())

    def __repr__(self) -> str:
        return shared_actor(self._provider)

    async def call(self, verb: str, *arguments: Any) -> Any:
        """Call a method of the state, by name."""
        answer = getattr(self._state, verb)(*arguments)
        return await answer if inspect.isawaitable(answer) else answer


SharedActor = ray.remote(Shared)


class SharedState:
    """A handle on the state for any process: each method is a coroutine that runs where the state is.

    Raises the method's own errors, and Unavailable if the actor does not answer."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._holder: Any = None

    def __getattr__(self, verb: str) -> Callable[..., Awaitable[Any]]:
        if verb.startswith("_"):
            raise AttributeError(verb)

        async def call(*arguments: Any) -> Any:
            if self._holder is None:
                self._holder = SharedActor.options(**for_shared(self._provider)).remote(self._provider)
            try:
                return await self._holder.call.remote(verb, *arguments)
            except RayActorError:
                raise Unavailable(f"{self._provider} does not answer: its actor is being restarted") from None
            except RayTaskError as error:
                raise error.cause from None

        return call
