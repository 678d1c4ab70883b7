"""The rate of calls about an account's executions, by all followers of a process together, and by many processes.

AWS allows 15 DescribeExecution and 20 GetExecutionHistory a second for a whole account and region. A process cannot
know how many others ask. So each begins with less than all of it, halves its rate as soon as AWS throttles, and raises
it after each answer. That way the processes share the account's rate.
"""

from datetime import datetime, timedelta

FASTEST, FIRST = 10.0, 4.0
"""Calls a second: at most, and at first."""
SLOWEST = 1 / 300
SLOWER = 0.5
FASTER = 1.05
SOONEST_REST = 5.0
"""Seconds between two calls about an execution whose rows have no news."""
REST_SHARE = 0.5
"""The share of the rate for those; the other half is for executions with news."""


class Pace:
    """The turns of one process. `followed`: the number of executions that share them. Pure: the caller passes the
    time."""

    def __init__(self) -> None:
        self._next: datetime | None = None
        self.rate = FIRST
        self.followed = 0

    @property
    def rest(self) -> float:
        """Seconds after which an execution without news is asked about again."""
        return max(SOONEST_REST, self.followed / (self.rate * REST_SHARE))

    def takes_turn(self, now: datetime) -> bool:
        """True: one call may be made now. False: other followers have just made one."""
        if self._next is not None and now < self._next:
            return False
        self._next = now + timedelta(seconds=1 / self.rate)
        return True

    def answered(self) -> None:
        self.rate = min(FASTEST, self.rate * FASTER)

    def throttled(self) -> None:
        self.rate = max(SLOWEST, self.rate * SLOWER)
