"""Times until something is due, by the rows' clock. In seconds; None: only when woken."""

from datetime import datetime, timedelta


def sooner(*given: float | None) -> float | None:
    return min((seconds for seconds in given if seconds is not None), default=None)


def is_due(at: datetime | None, now: datetime) -> bool:
    return at is None or at <= now


def until(at: datetime | None, now: datetime) -> float:
    return max(0.0, ((at or now) - now) / timedelta(seconds=1))
