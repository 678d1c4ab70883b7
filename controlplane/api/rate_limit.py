"""Bounds the requests of one token by a bucket that fills steadily. Off unless a setting asks for it; per replica."""

import math
from dataclasses import dataclass
from uuid import UUID

from controlplane.api.buckets import Buckets

_BURST = 6
"""The bucket holds a sixth of a minute's requests: ten seconds' worth."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """`limit`: requests at once. `remaining`: of these, allowed now. `reset`: if none remains, seconds until the next
    one, else 0."""

    limit: int
    remaining: int
    reset: int

    def headers(self) -> dict[str, str]:
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset),
        }


class RateLimit:
    """`per_minute` None: nothing is counted."""

    def __init__(self, per_minute: int | None) -> None:
        self.on = per_minute is not None
        per_minute = per_minute or 1
        self._buckets: Buckets[UUID] = Buckets(max(1, math.ceil(per_minute / _BURST)), per_minute / 60)

    def take(self, token_id: UUID, now: float | None = None) -> tuple[bool, Allowance]:
        """Count a request. Returns whether it may go on, and the remaining allowance."""
        allowed, level, reset = self._buckets.take(token_id, now)
        return allowed, Allowance(int(self._buckets.size), int(level), reset)
