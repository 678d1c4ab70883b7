"""The live actors, as the API sees them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol
from uuid import UUID

from controlplane.ports.health import ProviderHealth
from controlplane.text import clean


@dataclass(frozen=True, slots=True)
class Wake:
    """The result of a wake-up within its time-out. `started`. `pending`: no answer in time, or another cluster owns the
    tenant; the intent is durable and will be seen. `refused`: the engine did not take the execution, and `message` says
    why."""

    outcome: Literal["started", "pending", "refused"]
    message: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", clean(self.message))


class TenantDirectory(Protocol):
    """Finds the live actor of a name, and activates one if there is none. Messages carry no work; the rows do."""

    async def wake(
        self, name: str, tenant_id: UUID, execution_id: str | None = None, *, timeout: float | None = None
    ) -> Wake:
        """Mark the tenant's actor dirty. With `execution_id`, wait up to `timeout` seconds until that execution has
        left `queued`. Never raises for an actor that is missing, dying or slow: that is `pending`."""
        ...

    def wakes(self) -> Mapping[str, int]:
        """How many wake-ups this process has sent, by what was there: `live` (an actor) or `cold` (none)."""
        ...

    async def live(self) -> list[str]:
        """Names of the tenants with live actors in this cluster. Raises Unavailable."""
        ...

    async def ray_health(self) -> ProviderHealth:
        """Checks that the cluster answers."""
        ...
