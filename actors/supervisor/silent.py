"""Live owners that are silent: a stage of the supervisor's sweep.

A process that is stopped, or whose loop is stuck, keeps its actor's name, and with it the tenant: Ray sees a live
worker, and inside one cluster no other owner may take the lease. So it is ended, and the tenant is activated again.
"""

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.persistence import fleet
from controlplane.persistence.leases import LEASE_SECONDS

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = float(LEASE_SECONDS)
"""A lease must be expired for this time by the database's clock, and then for this time again by ours. While the
database is away no owner can renew, but each renews within a heartbeat once the database is back."""


@dataclass(slots=True)
class SilentOwners:
    """`live`: names of the tenants with live actors in this cluster; `end`: ends the actor of one."""

    database: AsyncEngine
    cluster_id: str
    live: Collection[str]
    end: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    _since: dict[str, float] = field(default_factory=dict)

    async def look(self) -> int:
        """Returns the number of owners that it ended."""
        now = self.clock()
        silent = set(await fleet.silent_owners(self.database, self.cluster_id, PATIENCE_SECONDS)) & set(self.live)
        self._since = {name: self._since.get(name, now) for name in silent}
        overdue = [name for name, since in self._since.items() if now - since >= PATIENCE_SECONDS]
        for name in overdue:
            logger.warning("the owner of %s has not renewed its lease for a long time; ending it", name)
            self.end(name)
        return len(overdue)
