"""The unit of work: one short transaction, and the only place that commits.

Events are written last, under one advisory lock that the commit releases: so the order of event ids is the order of
commits, and who reads the table by id misses nothing. Lock order everywhere: tenant row, then the event lock.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from controlplane.model import Execution, Tenant, TriggerSource
from controlplane.persistence.tables import events

EVENT_LOCK = 0x1A4D10D5
WAKE_CHANNEL = "landlord_wake"
EVENT_CHANNEL = "landlord_events"


class Transaction:
    """An open transaction and the events that it will write. Get one from `transaction()`."""

    def __init__(self, connection: AsyncConnection, *, actor: str | None, request_id: str | None) -> None:
        self.connection = connection
        self._actor = actor
        self._request_id = request_id
        self._events: list[dict[str, Any]] = []
        self._wakes: list[dict[str, str]] = []

    def event(
        self,
        type: str,
        tenant: Tenant,
        *,
        execution: Execution | None = None,
        message: str = "",
        data: Mapping[str, Any] | None = None,
        trigger_source: TriggerSource | None = None,
    ) -> None:
        """Remember an event; `tenant` as it is after the change."""
        source = trigger_source or (execution.trigger_source if execution else None)
        self._events.append(
            {
                "type": type,
                "tenant_id": tenant.id,
                "tenant_name": tenant.name,
                "generation": execution.generation if execution else tenant.generation,
                "status": tenant.status.value,
                "execution_id": execution.id if execution else None,
                "trigger_source": source.value if source else None,
                "actor": self._actor,
                "request_id": self._request_id,
                "message": message,
                "data": dict(data or {}),
            }
        )

    def record(
        self,
        type: str,
        *,
        message: str = "",
        data: Mapping[str, Any] | None = None,
        trigger_source: TriggerSource = TriggerSource.API,
    ) -> None:
        """Remember an event that is of no tenant."""
        self._events.append(
            {
                "type": type,
                "tenant_id": None,
                "tenant_name": None,
                "generation": None,
                "status": None,
                "execution_id": None,
                "trigger_source": trigger_source.value,
                "actor": self._actor,
                "request_id": self._request_id,
                "message": message,
                "data": dict(data or {}),
            }
        )

    def wake(self, tenant_id: UUID, name: str) -> None:
        """Signal the supervisor, at commit, that this tenant has due work."""
        self._wakes.append({"tenant_id": str(tenant_id), "name": name})

    async def flush(self) -> None:
        """The event lock and the notifications in one statement, then the events: round trips are what a 202 costs."""
        signals = [func.pg_notify(WAKE_CHANNEL, json.dumps(wake)) for wake in self._wakes]
        if self._events:
            signals += [func.pg_advisory_xact_lock(EVENT_LOCK), func.pg_notify(EVENT_CHANNEL, "")]
        if signals:
            await self.connection.execute(select(*signals))
        if self._events:
            await self.connection.execute(insert(events), self._events)


@asynccontextmanager
async def transaction(
    engine: AsyncEngine, *, actor: str | None = None, request_id: str | None = None
) -> AsyncIterator[Transaction]:
    """Commits at the end of the block, rolls back when it raises. `actor`: who did it (token name, owner)."""
    async with engine.begin() as connection:
        tx = Transaction(connection, actor=actor, request_id=request_id)
        yield tx
        await tx.flush()
