"""How often an account is asked about executions: by all followers of a process together, and by many processes.

AWS allows 15 DescribeExecution and 20 GetExecutionHistory a second, for a whole account and region, whoever asks. A
process cannot know how many others ask. So each begins with less than all of it, takes half as soon as AWS says that it
is too much, and some more after each answer: the processes share what there is.
"""

from datetime import datetime, timedelta

FASTEST, FIRST = 10.0, 4.0
"""Questions a second: at most, and at first."""
SLOWEST = 1 / 300
SLOWER = 0.5
FASTER = 1.05
SOONEST_REST = 5.0
"""Seconds between two questions about an execution of which the rows tell nothing new."""
REST_SHARE = 0.5
"""Of the rate, for those; the other half is for executions that have news."""


class Pace:
    """The turns of one process. `followed`: how many executions share them. Pure: time is given."""

    def __init__(self) -> None:
        self._next: datetime | None = None
        self.rate = FIRST
        self.followed = 0

    @property
    def rest(self) -> float:
        """Seconds after which an execution without news is asked about again."""
        return max(SOONEST_REST, self.followed / (self.rate * REST_SHARE))

    def takes_turn(self, now: datetime) -> bool:
        """True: one question may be asked now. False: others have just asked."""
        if self._next is not None and now < self._next:
            return False
        self._next = now + timedelta(seconds=1 / self.rate)
        return True

    def answered(self) -> None:
        self.rate = min(FASTEST, self.rate * FASTER)

    def throttled(self) -> None:
        self.rate = max(SLOWEST, self.rate * SLOWER)
