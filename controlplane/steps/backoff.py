"""Exponential backoff with full jitter (Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015)."""

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Backoff:
    """In seconds. `base` doubles with each attempt up to `ceiling`; the wait is random between zero and that."""

    base: float = 0.5
    ceiling: float = 30.0

    def bound(self, attempt: int) -> float:
        """The longest wait after the attempt with this number (1, 2, …)."""
        return float(min(self.ceiling, self.base * 2.0 ** min(attempt - 1, 30)))

    def pause(self, attempt: int, random: Random) -> float:
        return random.uniform(0, self.bound(attempt))

    def patient_pause(self, attempt: int, random: Random) -> float:
        """For a wait of many attempts: at least half of the bound, so that nobody who is away is asked in a hurry."""
        return random.uniform(0.5, 1.0) * self.bound(attempt)
