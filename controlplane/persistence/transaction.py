"""The unit of work: one short transaction, and the only place that commits.

Events are written last, under one advisory lock that the commit releases. So the order of event ids is the order of
commits, and a reader of the table by id misses nothing. Lock order everywhere: tenant row, then the event lock.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, Function, and_, bindparam, case, func, literal, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from controlplane.model import EventType, Execution, Tenant, TriggerSource
from controlplane.persistence.database import LOCK_TIMEOUT_MS
from controlplane.persistence.event_data import bounded
from controlplane.persistence.prepared import Prepared
from controlplane.text import clean

EVENT_LOCK = 0x1A4D10D5
STANDSTILL_MS = 5_000
"""All processes of the installation take turns with the event lock. If a process is stopped, or cut off, between taking
it and the commit, the database ends its transaction after this time, and the others go on."""
WAKE_CHANNEL = "landlord_wake"
EVENT_CHANNEL = "landlord_events"

EVENT_ROWS = {
    "type": "text",
    "tenant_id": "uuid",
    "tenant_name": "text",
    "generation": "integer",
    "status": "text",
    "execution_id": "text",
    "trigger_source": "text",
    "actor": "text",
    "token_id": "uuid",
    "request_id": "text",
    "message": "text",
    "data": "jsonb",
}
_COLUMNS = ", ".join(EVENT_ROWS)
EVENTS_IN_ORDER = f"""
         ROWS FROM (jsonb_to_recordset(:events) AS ({", ".join(f"{name} {type}" for name, type in EVENT_ROWS.items())}))
         WITH ORDINALITY AS event ({_COLUMNS}, position)
"""
"""A part of FROM: the rows of the parameter `events`."""

_FLUSH = Prepared(
    text(f"""
    INSERT INTO events ({_COLUMNS})
    SELECT {_COLUMNS}
    FROM pg_advisory_xact_lock(
             CASE WHEN set_config('idle_in_transaction_session_timeout', :standstill, true) <> ''
                   AND set_config('lock_timeout', :patience, true) <> '' THEN :lock END
         ),
         pg_notify(:event_channel, ''),
         (SELECT count(pg_notify(:wake_channel, one::text)) AS sent FROM jsonb_array_elements(:wakes) AS one) AS wakes,
         {EVENTS_IN_ORDER}
    WHERE wakes.sent >= 0
    ORDER BY position
""").bindparams(
        bindparam("wakes", type_=JSONB),
        bindparam("events", type_=JSONB),
        bindparam("lock", EVENT_LOCK, type_=BigInteger),
        standstill=str(STANDSTILL_MS),
        patience=str(LOCK_TIMEOUT_MS),
        event_channel=EVENT_CHANNEL,
        wake_channel=WAKE_CHANNEL,
    )
)
"""One round trip. The lock and the notifications are rows that the events are joined with. Ids are assigned after the
sort, so they are assigned under the lock and in the order of the list. A trigger chains the events (see `chain`), under
the lock too. Two bounds are set before the lock is asked for: that of a standstill, and that of the wait, which is
longer than a standstill, however impatient this process is with rows."""


def event_turn(condition: ColumnElement[bool]) -> Function[Any]:
    """The event lock, taken as `_FLUSH` takes it, for a statement that is a transaction of its own. It needs no bound
    of a standstill: nothing of the process happens between the lock and the commit. `condition`: must hold; what it
    names is read before the lock is asked for."""
    patient = func.set_config("lock_timeout", str(LOCK_TIMEOUT_MS), True) != ""
    return func.pg_advisory_xact_lock(case((and_(condition, patient), literal(EVENT_LOCK, BigInteger))))


class Transaction:
    """An open transaction and the events that it will write. Get one from `transaction()`.

    `now`: the database's clock when the tenant's row was locked (`tenants.lock`). `token_id`: the caller's token."""

    now: datetime

    def __init__(
        self,
        connection: AsyncConnection,
        *,
        actor: str | None,
        request_id: str | None,
        source: TriggerSource,
        token_id: UUID | None = None,
    ) -> None:
        self.connection = connection
        self._source = source
        self._actor = actor
        self.token_id = token_id
        self._token_id = None if token_id is None else str(token_id)
        self.request_id = request_id
        self.events: list[dict[str, Any]] = []
        """Rows that are still to be written."""
        self.wakes: list[dict[str, str]] = []

    def event(
        self,
        type: EventType,
        tenant: Tenant,
        *,
        execution: Execution | None = None,
        message: str = "",
        data: Mapping[str, Any] | None = None,
    ) -> None:
        """Add an event; pass `tenant` as it is after the change. The event's source is its execution's, else the
        transaction's."""
        source = execution.trigger_source if execution else self._source
        self.events.append(
            {
                "type": type.value,
                "tenant_id": str(tenant.id),
                "tenant_name": tenant.name,
                "generation": execution.generation if execution else tenant.generation,
                "status": tenant.status.value,
                "execution_id": execution.id if execution else None,
                "trigger_source": source.value,
                "actor": self._actor,
                "token_id": self._token_id,
                "request_id": self.request_id,
                "message": clean(message),
                "data": bounded(data),
            }
        )

    def record(self, type: EventType, *, message: str = "", data: Mapping[str, Any] | None = None) -> None:
        """Add an event that belongs to no tenant."""
        self.events.append(
            {
                "type": type.value,
                "tenant_id": None,
                "tenant_name": None,
                "generation": None,
                "status": None,
                "execution_id": None,
                "trigger_source": self._source.value,
                "actor": self._actor,
                "token_id": self._token_id,
                "request_id": self.request_id,
                "message": clean(message),
                "data": bounded(data),
            }
        )

    def wake(self, tenant_id: UUID, name: str) -> None:
        """Signal the supervisor, at commit, that this tenant has due work."""
        self.wakes.append({"tenant_id": str(tenant_id), "name": name})

    async def flush(self) -> None:
        """Write the events, and signal the waiting readers at commit. Each wake goes with an event that says why."""
        if self.events:
            await _FLUSH.all(self.connection, events=self.events, wakes=self.wakes)


@asynccontextmanager
async def transaction(
    database: AsyncEngine,
    *,
    actor: str | None = None,
    request_id: str | None = None,
    source: TriggerSource = TriggerSource.API,
    token_id: UUID | None = None,
) -> AsyncIterator[Transaction]:
    """Commits at the end of the block; rolls back if the block raises. `actor`: the author of the change (token name,
    owner); `token_id`: the id of that token; `source`: the change's trigger."""
    async with database.begin() as connection:
        tx = Transaction(connection, actor=actor, request_id=request_id, source=source, token_id=token_id)
        yield tx
        await tx.flush()
