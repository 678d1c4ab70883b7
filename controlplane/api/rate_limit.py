"""Requests of one token, bounded by a bucket that fills steadily. Off unless a setting asks for it; per replica."""

import math
import time
from dataclasses import dataclass
from uuid import UUID

_BURST = 6
"""The bucket holds a sixth of what a minute brings: ten seconds' worth."""
_SIZE = 10_000


@dataclass(slots=True)
class _Bucket:
    level: float
    at: float


@dataclass(frozen=True, slots=True)
class Allowance:
    """`limit` at once, `remaining` of them now, `reset`: seconds until the next one where none is left, else 0."""

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
        self._per_second = (per_minute or 0) / 60
        self._size = max(1, math.ceil((per_minute or 0) / _BURST))
        self._buckets: dict[UUID, _Bucket] = {}

    @property
    def on(self) -> bool:
        return self._per_second > 0

    def take(self, token_id: UUID, now: float | None = None) -> tuple[bool, Allowance]:
        """Count a request. Whether it may go on, and what is left."""
        now = time.monotonic() if now is None else now
        if len(self._buckets) >= _SIZE and token_id not in self._buckets:
            self._buckets.clear()
        bucket = self._buckets.setdefault(token_id, _Bucket(self._size, now))
        bucket.level = min(self._size, bucket.level + (now - bucket.at) * self._per_second)
        bucket.at = now
        allowed = bucket.level >= 1
        if allowed:
            bucket.level -= 1
        missing = max(0.0, 1 - bucket.level)
        reset = math.ceil(missing / self._per_second) if missing else 0
        return allowed, Allowance(self._size, int(bucket.level), reset)
