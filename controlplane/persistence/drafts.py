"""A change of the owner's that is one statement: it is drafted on the rows that were read for the decision, and written
if both rows are still exactly those.

Read, lock, write and commit are six or more round trips. Nearly always nobody has changed the rows since the decision,
and then this writes the same. Otherwise nothing is written, and the owner does it again with the rows locked.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from sqlalchemy import BigInteger, Boolean, DateTime, Integer, bindparam, literal_column, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.functions import Function

from controlplane.model import Execution, Tenant, TenantRows
from controlplane.persistence import rows, tables
from controlplane.persistence.columns import Message, Text
from controlplane.persistence.database import LOCK_TIMEOUT_MS
from controlplane.persistence.paused import is_paused
from controlplane.persistence.prepared import Prepared
from controlplane.persistence.transaction import EVENT_CHANNEL, EVENT_LOCK, EVENT_ROWS, EVENTS_IN_ORDER, Transaction

_OF_TENANT = ("status", "status_message", "epoch", "observed_generation")
_OF_EXECUTION = (
    "state",
    "sub_state",
    "provider_ref",
    "retry_count",
    "error",
    "next_attempt_at",
    "superseded_by",
)

_STAMPS = ("started_at", "ended_at")

_PAUSED = (
    select(is_paused())
    .where(tables.tenants.c.id == literal_column(":tenant"))
    .compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})  # type: ignore[no-untyped-call]
)

_WRITE = Prepared(
    text(f"""
    WITH paused AS (
        {_PAUSED}
    ), tenant AS (
        SELECT id FROM tenants WHERE id = :tenant AND fence = :fence AND xmin::text = :tenant_as
        AND NOT (:unless_paused AND (SELECT is_paused FROM paused)) FOR UPDATE
    ), execution AS (
        SELECT executions.id FROM tenant JOIN executions ON executions.tenant_id = tenant.id
        WHERE executions.id = :execution AND executions.xmin::text = :execution_as FOR UPDATE OF executions
    ), changed AS (
        UPDATE executions
        SET {", ".join(f"{name} = :{name}" for name in _OF_EXECUTION)},
            started_at = CASE WHEN :starts THEN clock_timestamp() ELSE started_at END,
            ended_at = CASE WHEN :ends THEN clock_timestamp() ELSE ended_at END
        FROM execution WHERE executions.id = execution.id AND :changes
    ), moved AS (
        UPDATE tenants
        SET {", ".join(f"{name} = :{name}" for name in _OF_TENANT)}, conditions = coalesce(:conditions, conditions),
            deleted_at = CASE WHEN :gone THEN clock_timestamp() ELSE deleted_at END,
            wake_at = NULL, updated_at = clock_timestamp()
        FROM execution WHERE tenants.id = :tenant AND :moves
    ), told AS (
        INSERT INTO events ({", ".join(EVENT_ROWS)})
        SELECT {", ".join(f"event.{name}" for name in EVENT_ROWS)}
        FROM execution
        JOIN pg_advisory_xact_lock(
            CASE WHEN execution.id IS NOT NULL AND set_config('lock_timeout', :patience, true) <> '' THEN :lock END
        ) AS turn ON true
        JOIN pg_notify(:event_channel, '') AS signal ON true
        JOIN {EVENTS_IN_ORDER} ON true
        ORDER BY event.position
    )
    SELECT pg_current_xact_id()::xid::text AS written FROM execution
    """).bindparams(
        bindparam("tenant", type_=tables.tenants.c.id.type),
        bindparam("fence", type_=BigInteger),
        bindparam("epoch", type_=BigInteger),
        bindparam("observed_generation", type_=Integer),
        bindparam("retry_count", type_=Integer),
        bindparam("next_attempt_at", type_=DateTime(timezone=True)),
        bindparam("error", type_=Message),
        bindparam("status_message", type_=Message),
        bindparam("conditions", type_=JSONB),
        bindparam("events", type_=JSONB),
        bindparam("lock", EVENT_LOCK, type_=BigInteger),
        *(bindparam(name, type_=Boolean) for name in ("unless_paused", "changes", "starts", "ends", "gone", "moves")),
        *(
            bindparam(name, type_=Text)
            for name in ("tenant_as", "execution", "execution_as", "status", "state", "sub_state", "provider_ref")
        ),
        bindparam("superseded_by", type_=Text),
        bindparam("patience", str(LOCK_TIMEOUT_MS), type_=Text),
        bindparam("event_channel", EVENT_CHANNEL, type_=Text),
    )
)
"""The locks are taken in the order of everybody's: tenant, execution, events. `*_as`: the rows as they were read, by
the transaction that wrote them, which is another one after each change."""


class Overtaken(Exception):
    """The draft was not written: a row has changed, or the change is more than a draft can hold. Do it again with the
    rows locked."""


class Seen:
    """The rows that an owner has read, or has written itself since, and by which transactions they were written."""

    def __init__(self, found: TenantRows, written: Mapping[str, str]) -> None:
        """`written`: by the tenant's id and the executions'."""
        self.rows = found
        self.written = written
        self._at = monotonic()

    @property
    def now(self) -> datetime:
        """The database's clock, nearly."""
        return self.rows.now + timedelta(seconds=monotonic() - self._at)


class Draft:
    """Stands for the connection of a transaction: takes what `tenants` and `executions` would write there. Whatever
    else is asked of it raises Overtaken."""

    def __init__(self, seen: Seen, *, unless_paused: bool) -> None:
        """`unless_paused`: a pause of this tenant that has begun since is a change of the rows."""
        self._unless_paused = unless_paused
        self._seen = seen
        self.tenant = seen.rows.tenant
        self._execution: Execution | None = None
        self._changes = False
        self._moves = False
        self._stamped: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        raise Overtaken(f"{name} needs a transaction")

    def execution(self, id: str) -> Execution:
        """The one of the change: a draft is about one execution."""
        found = self._seen.rows.find(id)
        if found is None or self._execution is not None:
            raise Overtaken(f"{id} is not among the rows, or the second one")
        self._execution = found
        return found

    @property
    def queued(self) -> Execution | None:
        return self._seen.rows.queued

    def save_tenant(self, tenant: Tenant, values: Mapping[str, Any]) -> Tenant:
        if not values.keys() <= {*_OF_TENANT, "conditions", "deleted_at"}:
            raise Overtaken("more than a draft can hold")
        self._moves = True
        self.tenant = replace(tenant, **values, updated_at=self._seen.now)
        return self.tenant

    def save_execution(self, execution: Execution, values: Mapping[str, Any]) -> Execution:
        # A function is the database's clock at the write.
        stamped = {name for name, value in values.items() if isinstance(value, Function)}
        if not values.keys() <= {*_OF_EXECUTION, *_STAMPS} or not stamped <= {*_STAMPS}:
            raise Overtaken("more than a draft can hold")
        self._stamped |= stamped
        known: dict[str, Any] = {name: self._seen.now if name in stamped else value for name, value in values.items()}
        self._changes = True
        self._execution = replace(execution, **known)
        return self._execution

    async def write(self, database: AsyncEngine, fence: int, tx: Transaction) -> Seen:
        """One statement. Returns the rows as they are then. Raises Overtaken if nothing was written."""
        execution, tenant, before = self._execution, self.tenant, self._seen
        if execution is None or not (self._changes or self._moves) or tx.wakes:
            raise Overtaken("nothing that a draft can hold")
        new_conditions = tenant.conditions is not before.rows.tenant.conditions
        values = {
            "tenant": tenant.id,
            "fence": fence,
            "tenant_as": before.written[str(tenant.id)],
            "execution": execution.id,
            "execution_as": before.written[execution.id],
            "changes": self._changes,
            "moves": self._moves,
            "unless_paused": self._unless_paused,
            "starts": "started_at" in self._stamped,
            "ends": "ended_at" in self._stamped,
            "gone": tenant.deleted_at is not None and before.rows.tenant.deleted_at is None,
            "conditions": rows.conditions_json(tenant.conditions) if new_conditions else None,
            "events": tx.events,
            **{name: getattr(tenant, name) for name in _OF_TENANT},
            **{name: getattr(execution, name) for name in _OF_EXECUTION},
        }
        found = await _WRITE.alone(database, **values)
        if not found:
            raise Overtaken("a row has changed")
        changed = {execution.id: self._changes, str(tenant.id): self._moves}
        written = {**before.written, **{id: found[0]["written"] for id, whether in changed.items() if whether}}
        others = (execution if one.id == execution.id else one for one in before.rows.executions)
        return Seen(replace(before.rows, tenant=tenant, executions=tuple(others), now=before.now), written)
