"""How often AWS is asked: within an account's rates, by one process with many executions and by many with one each."""

import heapq
from datetime import UTC, datetime, timedelta
from random import Random

from providers.workflow.stepfunctions.pace import FASTEST, FIRST, Pace
from tests.unit.builders import NOW

LIMIT = 15.0
BURST = 300.0
"""What AWS allows: so many questions a second, and so many at once after a pause."""


class Account:
    """A token bucket, in virtual time."""

    def __init__(self) -> None:
        self._left, self._at = BURST, 0.0
        self.asked = self.refused = 0

    def ask(self, at: float) -> bool:
        self._left, self._at = min(BURST, self._left + (at - self._at) * LIMIT), at
        self.asked += 1
        if self._left < 1:
            self.refused += 1
            return False
        self._left -= 1
        return True


def follow(paces: list[Pace], executions: int, seconds: float) -> tuple[Account, list[float]]:
    """So many executions without news, shared out over the processes; when each had its last answer."""
    random, account = Random(7), Account()
    start = datetime(2026, 1, 1, tzinfo=UTC)
    tried, last = [-1e9] * executions, [0.0] * executions
    wakes = [(random.uniform(0, 5), number) for number in range(executions)]
    heapq.heapify(wakes)
    for pace in paces:
        pace.followed = executions // len(paces)
    while wakes[0][0] < seconds:
        at, number = heapq.heappop(wakes)
        pace = paces[number % len(paces)]
        if at - tried[number] >= pace.rest and pace.takes_turn(start + timedelta(seconds=at)):
            tried[number] = at
            if account.ask(at):
                pace.answered()
                last[number] = at
            else:
                pace.throttled()
        heapq.heappush(wakes, (at + random.uniform(4, 6), number))
    return account, last


def test_1000_executions_in_one_process_are_never_too_many() -> None:
    account, last = follow([Pace()], 1000, 1200)
    assert account.refused == 0
    assert account.asked <= 1200 * FASTEST
    assert min(last) > 1200 - 300, "each is asked about within five minutes"


def test_1000_processes_share_what_there_is() -> None:
    account, last = follow([Pace() for _ in range(1000)], 1000, 3600)
    assert account.refused < account.asked * 0.2, "those at the beginning included, when nobody knows of the others"
    answered = account.asked - account.refused
    assert answered > 3600 * LIMIT * 0.7, "and use it"
    assert min(last) > 3600 - 1800


def test_a_pace_recovers() -> None:
    pace = Pace()
    for _ in range(20):
        pace.throttled()
    assert pace.rest <= 600
    for _ in range(200):
        pace.answered()
    assert pace.rate == FASTEST


def test_a_turn_is_one_question() -> None:
    pace = Pace()
    assert pace.takes_turn(NOW)
    assert not pace.takes_turn(NOW)
    assert pace.takes_turn(NOW + timedelta(seconds=1 / FIRST))
