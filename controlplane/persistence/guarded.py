"""Writes of runners that are one statement: it locks the tenant's row, then the execution's, and writes by what they
say. Only for writes without an event.

It is a transaction of four round trips in one. Postgres gives the locked rows as they are once it has the locks, even
if the statement began earlier; the conflict of an insert is judged by the newest row too.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Table, bindparam, func, literal, select
from sqlalchemy.dialects import postgresql

from controlplane.model import CURRENT
from controlplane.persistence import tables
from controlplane.persistence.expressions import is_one_of

_EXECUTION = tables.executions.c

LOCKED = (
    select(_EXECUTION.id, _EXECUTION.state, _EXECUTION.action, func.clock_timestamp().label("now"))
    .select_from(tables.tenants.join(tables.executions, _EXECUTION.tenant_id == tables.tenants.c.id))
    .where(_EXECUTION.id == bindparam("key"))
    .with_for_update()
    .cte("locked")
)
"""The execution `key`, with both rows locked: no row, if there is none."""


def insert(table: Table, values: Mapping[str, Any], *conditions: ColumnElement[bool]) -> postgresql.Insert:
    """Insert a row with these values by their columns' keys, if the locked execution is current and meets the
    conditions."""
    columns = [table.c[name] for name in values]
    given = [
        value if isinstance(value, ColumnElement) else literal(value, column.type)
        for column, value in zip(columns, values.values(), strict=True)
    ]
    source = select(*given).where(is_one_of(LOCKED.c.state, CURRENT), *conditions).select_from(LOCKED)
    return postgresql.insert(table).from_select(columns, source)
