"""Times until something is due, by the rows' clock. In seconds; None: only when woken."""

from datetime import datetime, timedelta

LONGEST_WAIT = 300.0
"""No pause that rows hold is longer, in seconds."""
LONGEST_INTERVAL = 3600.0
"""Nor is the time between two looks at a resource."""


def sooner(*given: float | None) -> float | None:
    return min((seconds for seconds in given if seconds is not None), default=None)


def is_due(at: datetime | None, now: datetime, longest: float = LONGEST_WAIT) -> bool:
    """`longest`: a time further ahead than that was said by a clock that has stepped back since, so it is over."""
    return at is None or at <= now or at - now > timedelta(seconds=longest)


def until(at: datetime | None, now: datetime) -> float:
    return max(0.0, ((at or now) - now) / timedelta(seconds=1))
