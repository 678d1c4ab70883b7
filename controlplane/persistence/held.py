"""The unit of work of a lease holder: a transaction that holds the tenant's row under the lease's fence."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from controlplane.lifecycle.conditions import with_condition
from controlplane.model import ConditionType, Reason, Tenant, TriggerSource, Truth
from controlplane.persistence import tenants
from controlplane.persistence.drafts import Draft, Seen
from controlplane.persistence.transaction import Transaction, transaction


@dataclass(frozen=True, slots=True)
class Held:
    """An open transaction on the tenant's locked row. Get one from `hold()`. `tenant`: the row when it was locked."""

    tx: Transaction
    tenant: Tenant

    @property
    def connection(self) -> AsyncConnection:
        return self.tx.connection

    async def set_condition(self, type: ConditionType, status: Truth, reason: Reason, message: str = "") -> Tenant:
        """Set one condition and nothing else; return the tenant's new state."""
        conditions = with_condition(self.tenant.conditions, type, status, reason, self.tx.now, message)
        return await tenants.save(self.connection, self.tenant, conditions=conditions)


@dataclass(frozen=True, slots=True)
class Drafted(Held):
    """A `Held` on rows that are not locked, but were just read."""

    draft: Draft

    async def write(self, database: AsyncEngine, fence: int) -> Seen:
        """Raises Overtaken; see `Draft.write`."""
        return await self.draft.write(database, fence, self.tx)


def draft(seen: Seen, owner: str, *, unless_paused: bool) -> Drafted:
    drafted = Draft(seen, unless_paused=unless_paused)
    tx = Transaction(cast(AsyncConnection, drafted), actor=owner, request_id=None, source=TriggerSource.SUPERVISOR)
    tx.now = seen.now
    return Drafted(tx, seen.rows.tenant, drafted)


@asynccontextmanager
async def hold(database: AsyncEngine, tenant_id: UUID, fence: int, owner: str) -> AsyncIterator[Held]:
    """Open the unit of work. Raises LeaseLost if another owner took the tenant."""
    async with transaction(database, actor=owner, source=TriggerSource.SUPERVISOR) as tx:
        yield Held(tx, await tenants.lock_owned(tx, tenant_id, fence))
