"""A circuit breaker: a provider that fails again and again is left alone for a while. Pure; time is given."""

from dataclasses import dataclass

FAILURES = 3
FIRST_PAUSE = 10.0
LONGEST_PAUSE = 120.0


@dataclass(slots=True)
class Breaker:
    """Closed until `FAILURES` failures in a row; then open for a pause that doubles with each further one. Seconds."""

    failures: int = 0
    open_until: float = 0.0

    def allows(self, now: float) -> bool:
        """Closed, or the pause is over: one call may try."""
        return now >= self.open_until

    def succeeded(self) -> None:
        self.failures, self.open_until = 0, 0.0

    def failed(self, now: float) -> None:
        self.failures += 1
        if self.failures >= FAILURES:
            self.open_until = now + min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (self.failures - FAILURES))
