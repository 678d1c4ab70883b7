"""The stage of the sweep that removes what is old."""

import time
from collections.abc import Callable

from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.persistence import events, idempotency, retention
from controlplane.persistence.retention import DAY
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
        of_events = await events.prune(self._database, older_than_seconds=self._settings.event_retention_days * DAY)
        of_keys = await idempotency.prune(self._database)
        of_history = await retention.prune_history(self._database, keep=self._settings.history_keep)
        seconds = self._settings.deleted_keep_days * DAY
        of_ended = await retention.prune_ended(self._database, older_than_seconds=seconds)
        most = max(of_history, of_ended)
        if of_events < events.AT_ONCE and of_keys < idempotency.BATCH and most < retention.AT_ONCE:
            self._due_at = self._clock() + SECONDS
        return of_events + of_keys + of_history + of_ended
