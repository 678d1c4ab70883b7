"""The stage of the sweep that removes what is old."""

import time
from collections.abc import Callable

from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.persistence import events, idempotency
from controlplane.settings import Settings

SECONDS = 3600.0
"""Between two removals: each looks where the oldest rows are, and need not look often."""


class Retention:
    """Every hour, and at each sweep while the one before left some for the next."""

    def __init__(self, database: AsyncEngine, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock
        self._due_at = clock()

    async def run(self) -> int:
        """How many rows went."""
        if self._clock() < self._due_at:
            return 0
        days = self._settings.event_retention_days
        of_events = await events.prune(self._database, older_than_seconds=days * 86400)
        of_keys = await idempotency.prune(self._database)
        if of_events < events.AT_ONCE and of_keys < idempotency.BATCH:
            self._due_at = self._clock() + SECONDS
        return of_events + of_keys
