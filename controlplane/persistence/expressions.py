"""SQL that several statements share; each rule stands here once. Times are the database's own clock."""

from collections.abc import Iterable
from enum import StrEnum

from sqlalchemy import ColumnElement, Function, and_, exists, func, literal_column

from controlplane.model import ClusterState
from controlplane.persistence import tables


def seconds(count: float) -> Function[object]:
    """An interval."""
    return func.make_interval(0, 0, 0, 0, 0, 0, count)


def ago(count: float) -> ColumnElement[object]:
    """That many seconds before the statement began. An index can be searched for this value."""
    return func.statement_timestamp() - seconds(count)


def from_now(count: float) -> ColumnElement[object]:
    """That many seconds after now."""
    return func.clock_timestamp() + seconds(count)


def is_one_of(column: ColumnElement[str], words: Iterable[StrEnum]) -> ColumnElement[bool]:
    """The column holds one of these words. They stand in the statement itself, so that a plan that is kept can use an
    index which holds only such rows."""
    return column.in_([literal_column(f"'{word.value}'") for word in sorted(words)])


def owned_by(cluster_id: str) -> ColumnElement[bool]:
    """Condition on a row of `tenants`: its owner, dead or alive, belongs to this cluster."""
    return tables.tenants.c.lease_owner.startswith(f"{cluster_id}/", autoescape=True)


def owned_elsewhere(cluster_id: str) -> ColumnElement[bool]:
    """Condition on a row of `tenants`: another cluster that has not ended holds a lease that has not expired."""
    of_ended_cluster = exists().where(
        tables.clusters.c.id == func.split_part(tables.tenants.c.lease_owner, "/", 1),
        tables.clusters.c.state == ClusterState.ENDED,
    )
    return and_(
        tables.tenants.c.lease_owner.is_not(None),
        ~owned_by(cluster_id),
        tables.tenants.c.lease_expires_at >= func.clock_timestamp(),
        ~of_ended_cluster,
    )
