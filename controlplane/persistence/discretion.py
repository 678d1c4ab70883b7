"""The content of a database error: its kind, never a value of the row.

A driver's texts quote parameters and rows ("Key (name)=(…) already exists"), and a spec is such a parameter, with a
tenant's secrets in it. An error travels far: into logs with its traceback, and through Ray into other processes' logs.
So the text is removed where the error is made.
"""

from collections.abc import Iterator

from sqlalchemy.engine import ExceptionContext

_TEXTS = ("detail", "hint", "message", "context", "internal_query", "query", "where")
"""The attributes in which asyncpg's errors, and SQLAlchemy's around them, keep the server's text."""


NOT_THERE = frozenset({"42P01", "42703"})
"""SQLSTATEs: no such table, no such column."""


def sqlstate(error: BaseException) -> str | None:
    """The SQLSTATE of this error, or of an error that caused it."""
    return next((found for one in _chain(error) if (found := getattr(one, "sqlstate", None))), None)


def hush(context: ExceptionContext) -> None:
    """For SQLAlchemy's `handle_error`: replace the texts of a statement's error by its type, SQLSTATE, and the name of
    the constraint. If connecting failed, there was no statement: that text stays."""
    error = context.sqlalchemy_exception
    if error is None or context.statement is None:
        return
    chain = list(_chain(error))
    constraint = next((name for one in chain if (name := getattr(one, "constraint_name", None))), None)
    for one in chain:
        one.args = (" ".join(filter(None, (type(one).__name__, sqlstate(one), constraint))),)
        for name in _TEXTS:
            if isinstance(getattr(one, name, None), str):
                setattr(one, name, None)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and all its causes, each once."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop(0)
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [getattr(one, "orig", None), one.__cause__, one.__context__]
