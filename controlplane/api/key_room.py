"""How many Idempotency-Keys a token may have at once: each keeps a whole answer for a day.

Counting them all for each request would cost too much, so a replica counts now and then, and adds its own. Other
replicas' keys are seen at the next count: the bound is exceeded by no more than what they store meanwhile.
"""

import time
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.errors import Refused
from controlplane.persistence import idempotency

KNOWN_SECONDS = 300.0
FULL_SECONDS = 10.0
"""If there is no room, a key that expires makes some: it is seen within this time."""
TOKENS = 1_000
"""Tokens whose counts are kept; beyond that, what is too old is dropped."""


@dataclass(slots=True)
class _Count:
    keys: int
    until: float


class KeyRoom:
    """Counts the keys of each token."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: dict[UUID, _Count] = {}

    async def require(self, connection: AsyncConnection, token_id: UUID) -> None:
        """Called before a new key is stored. Raises Refused rate_limited (429) if the token has no room for it."""
        known = self._counts.get(token_id)
        if known is None or known.until <= time.monotonic():
            keys = await idempotency.count(connection, token_id, at_most=self._most)
            known = _Count(keys, time.monotonic() + (KNOWN_SECONDS if keys < self._most else FULL_SECONDS))
            self._remember(token_id, known)
        if known.keys >= self._most:
            raise Refused(
                f"this token has used {self._most} Idempotency-Keys within {idempotency.KEPT_HOURS} hours, as many as "
                "LANDLORD_MAX_KEYS_PER_TOKEN allows; send the request without a key, or later",
                code="rate_limited",
                status=429,
                headers={"Retry-After": "60"},
            )

    def added(self, token_id: UUID) -> None:
        """A key was stored."""
        if (known := self._counts.get(token_id)) is not None:
            known.keys += 1
            if known.keys >= self._most:
                known.until = min(known.until, time.monotonic() + FULL_SECONDS)

    def _remember(self, token_id: UUID, count: _Count) -> None:
        if len(self._counts) >= TOKENS:
            now = time.monotonic()
            self._counts = {id: known for id, known in self._counts.items() if known.until > now}
        self._counts[token_id] = count
