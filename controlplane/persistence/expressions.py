"""SQL that several statements share; each rule stands here once. Times are the database's own clock."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Function, and_, exists, false, func, literal_column

from controlplane.lifecycle.due import LONGEST_WAIT
from controlplane.model import ClusterState
from controlplane.persistence import tables

LEASE_SECONDS = 15
STEP_SECONDS = 5.0
"""A clock that is put right by no more than this has not stepped."""


def seconds(count: float | BindParameter[float]) -> Function[object]:
    """An interval."""
    return func.make_interval(0, 0, 0, 0, 0, 0, count)


def ago(count: float) -> ColumnElement[object]:
    """That many seconds before the statement began. An index can be searched for this value."""
    return func.statement_timestamp() - seconds(count)


def from_now(count: float | BindParameter[float]) -> ColumnElement[object]:
    """That many seconds after now. NULL after NULL."""
    return func.clock_timestamp() + seconds(count)


def is_ahead(column: ColumnElement[Any], longest: float) -> ColumnElement[bool]:
    """That time is still to come. One that is further ahead than what is ever written, `longest` seconds, was said by
    the clock before it stepped back: it is over. So such a step holds up nothing for its own size."""
    return func.coalesce(column > func.clock_timestamp(), false()) & (column <= from_now(longest + STEP_SECONDS))


def is_one_of(column: ColumnElement[str], words: Iterable[StrEnum]) -> ColumnElement[bool]:
    """The column holds one of these words. They stand in the statement itself, so that a plan that is kept can use an
    index which holds only such rows."""
    return column.in_([literal_column(f"'{word.value}'") for word in sorted(words)])


def owned_by(cluster_id: str) -> ColumnElement[bool]:
    """Condition on a row of `tenants`: its owner, dead or alive, belongs to this cluster."""
    return tables.tenants.c.lease_owner.startswith(f"{cluster_id}/", autoescape=True)


def is_leased() -> ColumnElement[bool]:
    """Condition on a row of `tenants`: its lease has not expired."""
    return is_ahead(tables.tenants.c.lease_expires_at, LEASE_SECONDS)


def is_away() -> ColumnElement[bool]:
    """Condition on a row of `tenants`: its owner has left for a time that is not over."""
    return is_ahead(tables.tenants.c.wake_at, LONGEST_WAIT)


def owned_elsewhere(cluster_id: str | BindParameter[str]) -> ColumnElement[bool]:
    """Condition on a row of `tenants`: another cluster that has not ended holds a lease that has not expired."""
    of_cluster = func.split_part(tables.tenants.c.lease_owner, "/", 1)
    of_ended_cluster = exists().where(
        tables.clusters.c.id == of_cluster,
        tables.clusters.c.state == ClusterState.ENDED,
    )
    return and_(
        tables.tenants.c.lease_owner.is_not(None),
        of_cluster != cluster_id,
        is_leased(),
        ~of_ended_cluster,
    )
