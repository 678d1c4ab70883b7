"""The stages of one sweep. Each is independent: the clockwork catches, times and counts it, so that a failing stage
never stops the rest. Bulk observation only nominates; the tenant's own actor decides, under its lease."""

import asyncio
import logging
import time
from collections.abc import Collection, Mapping, Sequence

from actors.runtime import Runtime
from actors.supervisor.breaker import Breaker
from actors.supervisor.census import Census
from actors.supervisor.nominations import Nominations
from actors.supervisor.orphans import Orphans
from actors.supervisor.queue import Priority
from actors.supervisor.removals import Removals
from controlplane.errors import LandlordError, told
from controlplane.persistence import bootstrap, fleet
from controlplane.persistence.resting import Drift, Serving, by_execution
from controlplane.ports import ComputeProvider, Resource

logger = logging.getLogger(__name__)

PROVIDER_SECONDS = 45.0
"""Bound of one round on one provider; after it the round counts as failed: a hanging platform is treated as away."""


class Sweep:
    """Looks at rows and platforms, and keeps the observations of the last sweep.

    Promises: a failed or partial list nominates nothing and removes nothing; one provider does not wait for another.
    """

    def __init__(self, runtime: Runtime, nominations: Nominations, *, head: bool = True) -> None:
        """`head`: also the platforms that are on no machine of the cluster, and what was on platforms that are lost."""
        self.breakers: dict[str, Breaker] = {}
        self.identities: dict[str, str] = {}
        """Provider → the identity that its platform said last; the platforms that have answered."""
        self._runtime = runtime
        self._compute = {name: one for name, one in runtime.compute.items() if head or one.one_node}
        self._lost = runtime.settings.lost_platforms if head else ()
        self._nominations = nominations
        self._orphans = Orphans(runtime.settings.orphan_grace)
        self._removals = Removals(runtime.database, runtime.store, self._orphans)
        self._censuses: dict[str, Census] = {}
        self.resting: dict[str, tuple[Serving, Resource]] = {}
        """Serving execution → its resource in the last sweep's list, for the probes."""

    @property
    def platforms(self) -> dict[str, str | None]:
        """Of this machine: identity by provider. None: it has not answered yet."""
        return {name: self.identities.get(name) for name, one in self._compute.items() if one.one_node}

    @property
    def orphans(self) -> list[str]:
        """Ids of the resources that no row knows."""
        return self._orphans.ids

    @property
    def effects(self) -> dict[str, str]:
        """The removals that have not returned, and since when."""
        return self._removals.effects.waiting

    async def due(self) -> int:
        """Wake every tenant that has work and no live owner elsewhere."""
        found = await fleet.due(self._runtime.database, self._runtime.identity.cluster_id)
        for tenant in found:
            self._nominations.nominate(tenant.key, Priority.RETRY if tenant.retried else Priority.BACKLOG)
        return len(found)

    async def resources(self) -> int:
        """Compares each provider's list with the rows, all providers in parallel: leftovers are removed, orphans
        reported, drift nominated. Returns the number of removed resources."""
        self._nominations.forget_old()
        self.resting = {}
        rounds = [self._round(name, provider) for name, provider in self._compute.items()]
        return sum(await asyncio.gather(*rounds))

    # --- one provider ---

    async def _round(self, name: str, provider: ComputeProvider) -> int:
        """One round on one provider, behind its breaker, and bounded."""
        breaker = self.breakers.setdefault(name, Breaker())
        if not breaker.allows(time.monotonic()):
            return 0
        try:
            async with asyncio.timeout(PROVIDER_SECONDS):
                removed = await self._provider(name, provider)
        except Exception as error:
            breaker.failed(time.monotonic())
            expected = isinstance(error, (LandlordError, TimeoutError))
            logger.warning("sweep of %s: %s", name, told(error, "it failed"), exc_info=not expected)
            return 0
        breaker.succeeded()
        return removed

    async def _provider(self, name: str, provider: ComputeProvider) -> int:
        identity = self.identities[name] = await provider.identity()
        installation_id = await bootstrap.installation_id(self._runtime.database)
        # List first, then read rows: a resource created in between is then known, not an orphan.
        listed = await provider.list_owned(installation_id)
        serving = await self._compare(name, identity, listed)
        # What serves a tenant at rest is neither an orphan nor a leftover.
        others = [r for r in listed if r.origin.execution_id not in serving]
        known = await fleet.facts(self._runtime.database, {r.origin.execution_id for r in others})
        unknown = [r for r in others if r.origin.execution_id not in known]
        leftovers = [r for r in others if (fact := known.get(r.origin.execution_id)) and fact.sweepable]
        removed = await self._removals.orphans(name, provider, unknown)
        removed += await self._removals.leftovers(provider, leftovers)
        await self._removals.belongings(name, provider, installation_id)
        return removed

    async def _compare(self, name: str, identity: str, listed: Collection[Resource]) -> Collection[str]:
        """Compares the wanted resources with the listed ones. Placements on another platform are not judged. Returns
        the executions that serve tenants at rest."""
        there = by_execution(listed)
        platforms = {identity, *self._lost}
        census = self._censuses.setdefault(name, Census(self._runtime.database, name))
        await census.look()
        differing = [
            one.tenant.id for one in census if one.platform_identity in platforms and not self._well(one, there)
        ]
        for serving in await census.again(differing):
            if serving.platform_identity in platforms and not self._well(serving, there):
                resource = serving.resource_among(there)
                drift = serving.drift(resource)
                self._nominations.found(serving, drift or (resource.endpoints if resource else Drift.GONE))
        return {serving.execution_id for serving in census}

    def _well(self, serving: Serving, there: Mapping[str, Sequence[Resource]]) -> bool:
        """True if its resource is listed as it should be. One that runs is probed, wherever it can be reached now."""
        resource = serving.resource_among(there)
        if resource is None or serving.drift(resource) is not None:
            return False
        self.resting[serving.execution_id] = (serving, resource)
        if resource.endpoints and resource.endpoints != serving.endpoints:
            return False
        self._nominations.listed_well(serving.tenant)
        return True
