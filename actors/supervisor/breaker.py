"""A circuit breaker: if a provider fails again and again, it is not called for a while. Pure; the caller passes the
time."""

from dataclasses import dataclass

FAILURES = 3
FIRST_PAUSE = 10.0
LONGEST_PAUSE = 120.0


@dataclass(slots=True)
class Breaker:
    """Closed until `FAILURES` failures in a row. Then open for a time, in seconds, that doubles with each further
    failure."""

    failures: int = 0
    open_until: float = 0.0

    def allows(self, now: float) -> bool:
        """True if it is closed, or if its time is over: one call may try."""
        return now >= self.open_until

    def succeeded(self) -> None:
        self.failures, self.open_until = 0, 0.0

    def failed(self, now: float) -> None:
        self.failures += 1
        if self.failures >= FAILURES:
            self.open_until = now + min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (self.failures - FAILURES))
