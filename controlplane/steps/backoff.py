"""Exponential backoff with full jitter (Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015)."""

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds: `base` doubles with each attempt up to `ceiling`; the pause is anywhere between nothing and that."""

    base: float = 0.5
    ceiling: float = 30.0

    def bound(self, attempt: int) -> float:
        """The longest pause after the attempt of this number (1, 2, …)."""
        return float(min(self.ceiling, self.base * 2.0 ** min(attempt - 1, 30)))

    def pause(self, attempt: int, random: Random) -> float:
        return random.uniform(0, self.bound(attempt))
