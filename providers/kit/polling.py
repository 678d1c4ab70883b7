"""The interval for polling an engine that cannot notify: short after news, ever longer while nothing happens."""

from random import Random

SOONEST = 0.1
RAREST = 2.0
GROWTH = 1.5
JITTER = 0.2


class Polling:
    """The intervals of one follower, in seconds, each with jitter, so that a fleet does not ask in step."""

    def __init__(self, random: Random, soonest: float = SOONEST, rarest: float = RAREST) -> None:
        self._random = random
        self._rarest = rarest
        self._next = soonest

    def pause(self) -> float:
        pause, self._next = self._next, min(self._rarest, self._next * GROWTH)
        return pause * self._random.uniform(1 - JITTER, 1 + JITTER)
