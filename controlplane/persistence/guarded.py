"""Writes of runners that are one statement: it locks the tenant's row, then the execution's, and writes by what they
say.

It is a transaction of four round trips, or five with an event, in one. Postgres gives the locked rows as they are once
it has the locks, even if the statement began earlier; an update, and the conflict of an insert, are judged by the
newest row too. An event is the last part: it is joined with what was written, so the event lock is taken after the
rows', and only if something was written.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import CTE, ColumnElement, Table, bindparam, func, literal, select, true
from sqlalchemy.dialects import postgresql

from controlplane.model import CURRENT, EventType
from controlplane.persistence import tables
from controlplane.persistence.expressions import is_one_of
from controlplane.persistence.transaction import EVENT_CHANNEL, event_turn

_EXECUTION, _TENANT = tables.executions.c, tables.tenants.c

LOCKED = (
    select(
        _EXECUTION.id,
        _EXECUTION.state,
        _EXECUTION.action,
        _EXECUTION.generation,
        _EXECUTION.run,
        _EXECUTION.node,
        _EXECUTION.trigger_source,
        _TENANT.id.label("tenant_id"),
        _TENANT.name.label("tenant_name"),
        _TENANT.status.label("tenant_status"),
        func.clock_timestamp().label("now"),
    )
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


def event(type: EventType, data: Mapping[str, Any], written: CTE) -> postgresql.Insert:
    """Insert an event of the locked execution for the row that `written` has, if it has one. Its author is the
    parameter `actor`."""
    trail, locked = tables.events.c, LOCKED.c
    given: dict[ColumnElement[Any], ColumnElement[Any]] = {
        trail.type: literal(type.value),
        trail.tenant_id: locked.tenant_id,
        trail.tenant_name: locked.tenant_name,
        trail.generation: locked.generation,
        trail.status: locked.tenant_status,
        trail.execution_id: locked.id,
        trail.trigger_source: locked.trigger_source,
        trail.actor: bindparam("actor", type_=trail.actor.type),
        trail.data: literal(data, trail.data.type),
    }
    # Functions in FROM may name what stands before them: these are called once there is a written row.
    turn = event_turn(written.c.execution_id.is_not(None)).table_valued("turn")
    signal = func.pg_notify(EVENT_CHANNEL, "").table_valued("signal")
    found = LOCKED.join(written, true()).join(turn, true()).join(signal, true())
    return postgresql.insert(tables.events).from_select(list(given), select(*given.values()).select_from(found))
