"""The live actors, as the API sees them."""

from dataclasses import dataclass
from typing import Literal, Protocol
from uuid import UUID

from controlplane.ports.health import ProviderHealth


@dataclass(frozen=True, slots=True)
class Wake:
    """What a wake-up came to, within its time: `started`, `pending` (nobody answered in time, or another cluster owns
    it: the intent is durable and will be seen) or `refused` (the engine did not take it; `message` says why)."""

    outcome: Literal["started", "pending", "refused"]
    message: str = ""


class TenantDirectory(Protocol):
    """name → live actor. Activates where there is none. No message here is work: rows are."""

    async def wake(
        self, name: str, tenant_id: UUID, execution_id: str | None = None, *, timeout: float | None = None
    ) -> Wake:
        """Mark the tenant's actor dirty; with `execution_id` wait up to `timeout` seconds until that execution has
        left `queued`. Never raises for an actor that is missing, dying or slow: that is `pending`."""
        ...

    async def live(self) -> list[str]:
        """Names of the tenants whose actors live in this cluster. Raises Unavailable."""
        ...

    async def ray_health(self) -> ProviderHealth:
        """Does the cluster answer?"""
        ...
