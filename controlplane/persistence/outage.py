"""Errors of a database that does not do its part for now, as against those of a statement that will never work."""

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from controlplane.persistence.discretion import sqlstate

LATER = frozenset({"55P03", "57014", "40001", "40P01", "53300", "53200"})
"""SQLSTATEs that another try may not meet: lock or statement timeout, serialisation, deadlock, too many clients."""
AWAY = ("08", "25006", "25P03", "53", "57P", "58")
"""Beginnings of SQLSTATEs for a database that cannot work for now: the connection broke or was ended, it is read-only
after a failover, a disk is full, it shuts down or starts, its files cannot be read."""


def does_not_answer(error: DBAPIError) -> bool:
    """True if the database cannot work for now, whatever it is asked."""
    state = sqlstate(error)
    # Without a statement it is connecting that failed; without a SQLSTATE the driver met a connection that broke.
    return error.statement is None or state is None or error.connection_invalidated or state.startswith(AWAY)


def passes(error: BaseException) -> bool:
    """True if the same statement may work later, since the database is away, or too much goes on at once."""
    if isinstance(error, DBAPIError):
        return sqlstate(error) in LATER or does_not_answer(error)
    return isinstance(error, (OSError, PoolTimeout))
