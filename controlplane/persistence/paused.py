"""Who is paused, as a part of statements; `pauses` writes it down."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, exists, func, or_, select

from controlplane.persistence import tables

_newest = tables.executions.alias("newest_execution")


def _holds(providers: Iterable[ColumnElement[str]]) -> ColumnElement[bool]:
    """Condition on a row of `pauses`: it holds the tenants on one of these providers."""
    scopes = [tables.pauses.c.scope == func.concat("provider:", name) for name in providers]
    return or_(tables.pauses.c.scope == "all", *scopes)


def _own_providers() -> tuple[ColumnElement[str], ColumnElement[str]]:
    """The tenant's compute provider, and its engine: the one in its spec, else that of its newest execution."""
    newest = select(_newest.c.engine).where(_newest.c.id == tables.tenants.c.newest_execution)
    engine = newest.correlate(tables.tenants).scalar_subquery()
    spec = tables.tenants.c.spec
    return spec["compute"]["provider"].astext, func.coalesce(spec["workflow"]["provider"].astext, engine)


def is_paused() -> ColumnElement[bool]:
    """Paused: the tenant itself, or everything, or its compute or workflow provider."""
    return or_(tables.tenants.c.paused, exists().where(_holds(_own_providers())).correlate(tables.tenants)).label(
        "is_paused"
    )


def pause_columns(*providers: ColumnElement[str]) -> list[ColumnElement[Any]]:
    """For `rows.tenant`: the wider pause that holds the tenant. `providers`: those of a row that is being inserted; a
    subquery in RETURNING would not see that row, and would read the whole table instead."""
    held = _holds(providers or _own_providers())
    return [
        select(column).where(held).correlate(tables.tenants).scalar_subquery().label(name)
        for name, column in (
            ("paused_by", func.min(tables.pauses.c.scope)),
            ("paused_since", func.min(tables.pauses.c.at)),
        )
    ]
