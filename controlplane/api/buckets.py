"""Buckets that fill steadily, one for each key: they bound how much of something each key may have."""

import math
import time
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
_MOST = 10_000


@dataclass(slots=True)
class Bucket:
    """`level`: its content at the time `at`."""

    level: float
    at: float


class Buckets(Generic[K]):
    """Each holds `size` and gets `per_second`. Full ones are forgotten once there are very many."""

    def __init__(self, size: float, per_second: float) -> None:
        self.size = size
        self._per_second = per_second
        self._of: dict[K, Bucket] = {}

    def take(self, key: K, now: float | None = None) -> tuple[bool, float, int]:
        """Take one. Returns whether there was one, the rest, and the seconds until there is one again (0: now)."""
        now = time.monotonic() if now is None else now
        if len(self._of) >= _MOST and key not in self._of:
            self._forget(now)
        bucket = self._of.setdefault(key, Bucket(self.size, now))
        bucket.level, bucket.at = self._level(bucket, now), now
        had = bucket.level >= 1
        if had:
            bucket.level -= 1
        missing = max(0.0, 1 - bucket.level)
        return had, bucket.level, math.ceil(missing / self._per_second) if missing else 0

    def _level(self, bucket: Bucket, now: float) -> float:
        return min(self.size, bucket.level + (now - bucket.at) * self._per_second)

    def _forget(self, now: float) -> None:
        """Drop the buckets that are full again; if that is not enough, drop all."""
        self._of = {key: bucket for key, bucket in self._of.items() if self._level(bucket, now) < self.size}
        if len(self._of) >= _MOST:
            self._of.clear()
