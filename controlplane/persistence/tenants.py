"""Reading and changing tenant rows inside a transaction."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import Text, and_, any_, bindparam, cast, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from controlplane.errors import LeaseLost
from controlplane.lifecycle.conditions import with_condition
from controlplane.lifecycle.transitions import Cause, move
from controlplane.model import (
    ConditionType,
    EventType,
    Execution,
    ExecutionState,
    Reason,
    Status,
    SubState,
    Tenant,
    TenantSpec,
    TriggerSource,
    Truth,
)
from controlplane.model.reach import Reach
from controlplane.model.selector import Requirement
from controlplane.model.tolerance import word
from controlplane.persistence import pages, rows, tables
from controlplane.persistence.batched import Batched
from controlplane.persistence.drafts import Draft
from controlplane.persistence.lookups import Lookup
from controlplane.persistence.pages import Page
from controlplane.persistence.paused import pause_columns
from controlplane.persistence.prepared import Prepared, unseen
from controlplane.persistence.reached import labelled, reached
from controlplane.persistence.transaction import Transaction

_ROW = select(tables.tenants, *pause_columns(), func.clock_timestamp().label("db_now"))
_LOCK = Prepared(_ROW.where(tables.tenants.c.id == bindparam("key")).with_for_update())
_LOCK_OF_EXECUTION = Prepared(
    _ROW.where(
        tables.tenants.c.id
        == select(tables.executions.c.tenant_id).where(tables.executions.c.id == bindparam("key")).scalar_subquery()
    ).with_for_update()
)
_LOCK_BOTH = Prepared(
    select(tables.tenants, func.clock_timestamp().label("db_now"), *tables.prefixed(tables.executions, "x_"))
    .select_from(tables.tenants.join(tables.executions, tables.executions.c.tenant_id == tables.tenants.c.id))
    .where(tables.executions.c.id == bindparam("key"))
    .with_for_update()
)
_LOCK_LIVE = Prepared(
    _ROW.where(tables.tenants.c.name == bindparam("key"), tables.tenants.c.deleted_at.is_(None)).with_for_update()
)
_NEWEST_OF_NAME = Prepared(
    _ROW.where(tables.tenants.c.name == bindparam("key"))
    .order_by(tables.tenants.c.deleted_at.desc().nulls_first(), tables.tenants.c.created_at.desc())
    .limit(1)
)


async def lock(tx: Transaction, tenant_id: UUID) -> Tenant | None:
    """The row, locked until the transaction ends. Read every other row that must be up to date after this call."""
    return await _take(tx, _LOCK, tenant_id)


async def lock_of_execution(tx: Transaction, execution_id: str) -> Tenant | None:
    """The row of the tenant of that execution, locked."""
    return await _take(tx, _LOCK_OF_EXECUTION, execution_id)


async def lock_with_execution(tx: Transaction, execution_id: str) -> tuple[Tenant, Execution]:
    """An execution's tenant, then the execution: both locked, in one round trip."""
    row = await _LOCK_BOTH.one(tx.connection, key=execution_id)
    tx.now = row["db_now"]
    return rows.tenant(row), rows.execution(rows.part(row, "x_"))


async def lock_owned(tx: Transaction, tenant_id: UUID, fence: int) -> Tenant:
    """The row, locked. Raises LeaseLost if another owner took it."""
    tenant = await _take(tx, _LOCK, tenant_id)
    if tenant is None or tenant.fence != fence:
        raise LeaseLost(f"another owner has tenant {tenant_id}", tenant_id=tenant_id, fence=fence)
    return tenant


async def lock_by_name(tx: Transaction, name: str) -> Tenant | None:
    """The live tenant of that name, locked; else the newest deleted one, unlocked; else None."""
    while True:
        if (live := await _take(tx, _LOCK_LIVE, name)) is not None:
            return live
        newest = await _take(tx, _NEWEST_OF_NAME, name)
        if newest is None or newest.deleted_at is not None:
            return newest
        # It was created after the first look, so it is not ours yet.


async def _take(tx: Transaction, query: Prepared, key: UUID | str) -> Tenant | None:
    row = await query.first(tx.connection, key=key)
    if row is None:
        return None
    tx.now = row["db_now"]
    return rows.tenant(row)


_SAVED = (
    update(tables.tenants)
    .values(wake_at=None, updated_at=func.clock_timestamp())
    .returning(tables.tenants.c.updated_at)
)


@lru_cache(maxsize=64)
def _saved(columns: frozenset[str]) -> Prepared:
    """The statement that writes these columns; code that saves names a bounded number of them."""
    new = {name: bindparam(f"new_{name}", type_=tables.tenants.c[name].type) for name in sorted(columns)}
    return Prepared(_SAVED.where(tables.tenants.c.id == bindparam("key")).values(new))


# Compiled before the fork, since their process executes each of them once.
_saved(frozenset({"serving_execution", "observed"}))


async def save(connection: AsyncConnection | Draft, tenant: Tenant, **values: Any) -> Tenant:
    """Write columns of a locked row; return the tenant's new state. JSON columns take the model's values. The row has
    changed, so a tenant whose owner left for a while is due at once."""
    if isinstance(connection, Draft):
        return connection.save_tenant(tenant, values)
    encoded = dict(values)
    if "conditions" in encoded:
        encoded["conditions"] = rows.conditions_json(values["conditions"])
    if "observed" in encoded:
        encoded["observed"] = rows.observed_json(values["observed"], tenant.observed)
    if "spec" in encoded:
        encoded["spec"] = values["spec"].canonical()
    new = {f"new_{name}": value for name, value in encoded.items()}
    saved = await _saved(frozenset(encoded)).one(connection, key=tenant.id, **new)
    return replace(tenant, **values, updated_at=saved["updated_at"])


async def change_status(
    tx: Transaction,
    tenant: Tenant,
    cause: Cause,
    *,
    execution: Execution | None = None,
    message: str = "",
    condition: tuple[ConditionType, Truth, Reason] | None = None,
    **values: Any,
) -> Tenant:
    """Move the status by the table, set a condition (type, status, reason), write other columns, and add an event.

    The event is `tenant.status`; it is written only if the status really changes."""
    status = move(tenant.status, cause)
    if condition is not None:
        kind, truth, reason = condition
        values["conditions"] = with_condition(tenant.conditions, kind, truth, reason, tx.now, message)
    after = await save(tx.connection, tenant, status=status, status_message=message, **values)
    if status is not tenant.status:
        tx.event(
            EventType.TENANT_STATUS, after, execution=execution, message=message, data={"from": tenant.status.value}
        )
    return after


# --- reads for the API ------------------------------------------------------------------------------------------------

SHORT_SPEC = 4096
KNOWN_SPECS = 1024
"""Specs that a process keeps read, of up to so many characters of JSON each."""
SHORTEST_UUID = 32


@dataclass(frozen=True, slots=True)
class ExecutionLine:
    """What an answer about a tenant says of an execution: its row without what only its runner needs."""

    id: str
    run: int
    state: ExecutionState
    sub_state: SubState | None
    engine: str
    trigger_source: TriggerSource
    retry_count: int
    error: str | None
    next_attempt_at: datetime | None
    stop_reason: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class TenantView:
    """The rows behind a GET: a tenant and the execution of its newest generation. `spec_json`: the tenant's spec, as
    the database writes it."""

    tenant: Tenant
    execution: ExecutionLine
    spec_json: str


_LINE = tables.executions.c
_VIEWS = select(
    *(column for column in tables.tenants.c if column is not tables.tenants.c.spec),
    cast(tables.tenants.c.spec, Text).label("spec_json"),
    *pause_columns(),
    _LINE.id.label("x_id"),
    _LINE.run.label("x_run"),
    _LINE.state.label("x_state"),
    _LINE.sub_state.label("x_sub_state"),
    _LINE.engine.label("x_engine"),
    _LINE.trigger_source.label("x_trigger_source"),
    _LINE.retry_count.label("x_retry_count"),
    _LINE.error.label("x_error"),
    _LINE.next_attempt_at.label("x_next_attempt_at"),
    _LINE.stop_reason.label("x_stop_reason"),
    _LINE.created_at.label("x_created_at"),
).join(tables.executions, tables.executions.c.id == tables.tenants.c.newest_execution)
_LIVE_VIEWS = _VIEWS.where(
    tables.tenants.c.name == any_(unseen(bindparam("keys", type_=ARRAY(Text)))), tables.tenants.c.deleted_at.is_(None)
)
_VIEW_BY_ID = Lookup(_VIEWS.where(tables.tenants.c.id == bindparam("key")))
_VIEW_BY_NAME = Lookup(
    _VIEWS.where(tables.tenants.c.name == bindparam("key"))
    .order_by(tables.tenants.c.deleted_at.desc().nulls_first(), tables.tenants.c.created_at.desc())
    .limit(1)
)


def _view(found: rows.Row) -> TenantView:
    line = ExecutionLine(
        id=found["x_id"],
        run=found["x_run"],
        state=word(ExecutionState, found["x_state"]),
        sub_state=word(SubState, found["x_sub_state"]) if found["x_sub_state"] else None,
        engine=found["x_engine"],
        trigger_source=word(TriggerSource, found["x_trigger_source"]),
        retry_count=found["x_retry_count"],
        error=found["x_error"],
        next_attempt_at=found["x_next_attempt_at"],
        stop_reason=found["x_stop_reason"],
        created_at=found["x_created_at"],
    )
    text = found["spec_json"]
    spec = _known_spec(text) if len(text) <= SHORT_SPEC else read_spec(text)
    return TenantView(rows.tenant(found, spec), line, text)


def read_spec(text: str) -> TenantSpec:
    """Of `TenantView.spec_json`."""
    return TenantSpec.stored(json.loads(text))


_known_spec = lru_cache(maxsize=KNOWN_SPECS)(read_spec)
"""Whoever reads a tenant again and again, or tenants that are alike, has most of the work of a row saved."""


async def get(database: AsyncEngine, name_or_id: str) -> TenantView | None:
    """By name: the live tenant, else the newest deleted one of that name (the API answers 410). By UUID: any."""
    try:
        id = UUID(name_or_id)
    except ValueError:
        row = await _VIEW_BY_NAME.first(database, key=name_or_id)
    else:
        row = await _VIEW_BY_ID.first(database, key=id)
    return _view(row) if row else None


class Views:
    """The reads of one replica that come thousands of times a second."""

    def __init__(self, database: AsyncEngine) -> None:
        self.database = database
        self._live = Batched(database, _LIVE_VIEWS, "name")

    async def get(self, name_or_id: str) -> TenantView | None:
        """As `get`. Those who ask for live tenants by name at the same time share a statement."""
        row = None if len(name_or_id) >= SHORTEST_UUID else await self._live.first(name_or_id)
        return _view(row) if row else await get(self.database, name_or_id)

    async def close(self) -> None:
        """Before the database is disposed."""
        await self._live.close()


async def page(
    database: AsyncEngine,
    *,
    reach: Reach,
    statuses: Sequence[Status] = (),
    selector: Sequence[Requirement] = (),
    name_prefix: str = "",
    lagging: bool = False,
    after: str | None = None,
    limit: int,
) -> Page[TenantView]:
    """Live tenants within reach in name order, after the name `after` (keyset). `selector`: all requirements must
    match, so two values of one key match no tenant. `lagging`: only tenants whose generation is not observed yet."""
    query = _page(reach, tuple(statuses), tuple(selector), name_prefix, lagging, limit)
    return pages.page_of(await query.all(database, after=after or ""), _view)


@lru_cache(maxsize=64)
def _page(
    reach: Reach,
    statuses: tuple[Status, ...],
    selector: tuple[Requirement, ...],
    name_prefix: str,
    lagging: bool,
    limit: int,
) -> Lookup:
    """Kept: whoever turns the pages of a list asks the same again and again. No name comes before `""`."""
    of_tenant = tables.tenants.c
    conditions = [of_tenant.deleted_at.is_(None), reached(reach), of_tenant.name > unseen(bindparam("after", ""))]
    if statuses:
        conditions.append(of_tenant.status.in_([status.value for status in statuses]))
    conditions += [labelled(requirement) for requirement in selector]
    if name_prefix:
        conditions.append(of_tenant.name.startswith(name_prefix, autoescape=True))
    if lagging:
        conditions.append(of_tenant.observed_generation < of_tenant.generation)
    keys = select(of_tenant.id, of_tenant.name, pages.size(of_tenant.spec, of_tenant.annotations))
    chosen = pages.chosen(keys.where(and_(*conditions)).order_by(of_tenant.name), "name", limit)
    live = and_(chosen.c.name == of_tenant.name, of_tenant.deleted_at.is_(None))
    return Lookup(_VIEWS.join(chosen, live).add_columns(chosen.c.upto, chosen.c.more).order_by(of_tenant.name))
