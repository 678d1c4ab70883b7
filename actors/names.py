"""Finding an actor by its name, without waiting for a head that is lost.

Ray's own call blocks until the head answers or a minute is over, and so would everything else on the caller's loop.
"""

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import ray

from actors.naming import NAMESPACE
from controlplane.errors import Unavailable

ANSWER_SECONDS = 2.0


class Names:
    """Promises: `find` answers within ANSWER_SECONDS, and at once while an earlier question still waits for the head.
    Ray itself remembers those that it has found, and needs no head to find them again."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "names")
        self._waiting: Future[Any] | None = None
        """A question that was given up, and holds the thread until Ray gives it up as well."""

    async def find(self, actor: str) -> Any:
        """Its handle. None: there is no such actor. Raises Unavailable if the head does not answer."""
        if self._waiting is None or self._waiting.done():
            looking = self._thread.submit(_find, actor)
            try:
                return await asyncio.wait_for(asyncio.wrap_future(looking), ANSWER_SECONDS)
            except TimeoutError:
                self._waiting = looking
        raise Unavailable("the head of the cluster does not answer")


def _find(actor: str) -> Any:
    try:
        return ray.get_actor(actor, namespace=NAMESPACE)
    except ValueError:
        return None
