"""The tenants at rest that one compute provider serves, kept from one sweep to the next.

A fleet at rest hardly changes, so a sweep reads of it what has changed. The order of the trail's ids is the order of
commits: whoever read all tenants after an event knows of each later change by a later event.
"""

import time
from collections.abc import Callable, Collection, Iterator
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.persistence import events
from controlplane.persistence.resting import Serving, resting, resting_among

WHOLE = 500
"""So many tenants are read as a whole each time: that costs no more than a few."""
WHOLE_SECONDS = 60.0
"""A larger fleet is read as a whole this often, for the few changes that have no event: where a tenant can be reached,
and an owner's leaving for a while."""
CHANGES = 2_000
"""After so many events it is read as a whole, too."""


class Census:
    """Promises: `look` gives what `resting` would; only a change without an event may be missing, for WHOLE_SECONDS.
    So whoever finds a difference in it reads those tenants `again` before acting on it."""

    def __init__(self, database: AsyncEngine, provider: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._provider = provider
        self._clock = clock
        self._servings: dict[UUID, Serving] = {}
        self._through = 0
        """Id of the last event whose change is in here."""
        self._whole_at = clock()
        """The time to read all of them."""

    def __iter__(self) -> Iterator[Serving]:
        return iter(self._servings.values())

    async def look(self) -> None:
        """Learn what has changed since the last look."""
        if len(self._servings) <= WHOLE or self._clock() >= self._whole_at:
            await self._look_at_all()
            return
        found = await events.touched(self._database, self._through, limit=CHANGES)
        tenants = {tenant for _, tenant in found if tenant is not None}
        if len(found) == CHANGES or any(tenant is None for _, tenant in found):
            await self._look_at_all()
        elif found:
            await self.again(tenants)
            self._through = found[-1][0]

    async def again(self, tenant_ids: Collection[UUID]) -> list[Serving]:
        """Those of these tenants that are at rest, as the rows say now."""
        found = await resting_among(self._database, tenant_ids)
        for id in tenant_ids:
            self._servings.pop(id, None)
        found = [serving for serving in found if serving.platform == self._provider]
        self._servings.update((serving.tenant.id, serving) for serving in found)
        return found

    async def _look_at_all(self) -> None:
        now, through = self._clock(), await events.newest(self._database)
        self._servings = {one.tenant.id: one for one in await resting(self._database, self._provider)}
        self._through, self._whole_at = through, now + WHOLE_SECONDS
