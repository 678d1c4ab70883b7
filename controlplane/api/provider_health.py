"""The health of one provider, as one replica knows it. Asking never waits longer than the caller wants."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

from controlplane.ports import ComputeProvider, ProviderHealth

SILENT_SECONDS = 1.0
"""A provider that has not answered for this time counts as not answering; before, its last answer counts."""
GIVE_UP_SECONDS = 60.0
"""Then it is asked anew. Its own time-outs are shorter; so this is for one that has none."""

NOT_YET = ProviderHealth(False, "no answer yet")


class ProviderWatch:
    """Promises: at most one call of `health` is under way, for any number of readers; no reader waits for its end, even
    if the call cannot be cancelled; no error comes through. `start`: makes a task of a coroutine and holds it."""

    def __init__(
        self,
        provider: ComputeProvider,
        *,
        start: Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._provider = provider
        self._start = start
        self._clock = clock
        self._asking: asyncio.Task[None] | None = None
        self._asked_at = 0.0
        self._known: ProviderHealth | None = None
        self._known_at = 0.0
        self._silent_since: datetime | None = None
        """The time of the first call that had no answer in time. Kept until an answer is good or prompt, so that a
        platform that hangs through several calls is not new with each."""

    async def get(self, *, patience: float, seconds: float) -> ProviderHealth:
        """Its health, not older than `seconds`, if it answers within `patience` seconds. Otherwise its last answer, or
        the time since which it does not answer."""
        if self._known is not None and self._asking is None and self._clock() - self._known_at < seconds:
            return self._known
        asking = self._asking
        if asking is None or self._clock() - self._asked_at > GIVE_UP_SECONDS:
            asking = self._ask()
        await asyncio.wait({asking}, timeout=patience)
        if asking.done() and self._known is not None:
            return self._known
        since = self._silent_since
        if since is not None and (datetime.now(UTC) - since).total_seconds() >= SILENT_SECONDS:
            return ProviderHealth(False, f"unknown: not answering since {since:%Y-%m-%dT%H:%M:%SZ}")
        return self._known or NOT_YET

    def _ask(self) -> "asyncio.Task[None]":
        if self._asking is not None:
            self._asking.cancel()
        self._asked_at = self._clock()
        self._silent_since = self._silent_since or datetime.now(UTC)
        self._asking = self._start(self._look())
        return self._asking

    async def _look(self) -> None:
        try:
            found = await self._provider.health()
        except Exception as error:
            # Only the class: messages of SDKs hold addresses and statements.
            found = ProviderHealth(False, f"the health check failed: {type(error).__name__}")
        if self._asking is asyncio.current_task():
            self._asking, self._known, self._known_at = None, found, self._clock()
            if found.healthy or self._known_at - self._asked_at < SILENT_SECONDS:
                self._silent_since = None
