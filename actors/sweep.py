"""The stages of one sweep. Each is independent: caught, timed and counted by the supervisor, so that one that fails
never stops the rest. Bulk observation only nominates; the tenant's own actor decides, under its lease.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from actors.runtime import Runtime
from controlplane.errors import LandlordError
from controlplane.persistence import bootstrap, census
from controlplane.persistence.census import Serving, TenantKey
from controlplane.ports import ComputeProvider, Resource, ResourceState

logger = logging.getLogger(__name__)

Nominate = Callable[[TenantKey], Awaitable[None]]


@dataclass(slots=True)
class Sweep:
    """What one supervisor keeps between sweeps."""

    runtime: Runtime
    nominate: Nominate
    nominated: dict[str, str] = field(default_factory=dict)
    """Serving execution → the finding it was nominated for: an unchanged finding wakes a tenant once."""
    orphans: set[str] = field(default_factory=set)
    """Resource ids already reported."""

    async def due(self) -> int:
        """Wake every tenant that has work."""
        tenants = await census.due(self.runtime.engine)
        for tenant in tenants:
            await self.nominate(tenant)
        return len(tenants)

    async def resources(self) -> int:
        """Each provider's list against the rows: leftovers removed, orphans reported, drift nominated."""
        removed = 0
        for name, provider in self.runtime.compute.items():
            try:
                removed += await self._provider(name, provider)
            except LandlordError as error:
                # A failed or partial list nominates nothing and removes nothing.
                logger.warning("sweep of %s: %s", name, error)
        return removed

    async def _provider(self, name: str, provider: ComputeProvider) -> int:
        identity = await provider.identity()
        owner = await bootstrap.installation_id(self.runtime.engine)
        listed = await provider.list_owned(owner)  # before the rows are read: what they know by then is not unknown
        known = await census.facts(self.runtime.engine, {r.ownership.execution for r in listed})
        removed = 0
        for resource in listed:
            fact = known.get(resource.ownership.execution)
            if fact is None:
                self._report_orphan(name, resource)
            elif fact.leftover and await self._remove(provider, resource):
                removed += 1
        by_execution = {resource.ownership.execution: resource for resource in listed}
        for serving in await census.resting(self.runtime.engine):
            if serving.provider == name and serving.engine_identity == identity:
                await self._compare(serving, by_execution.get(serving.execution_id))
        return removed

    def _report_orphan(self, provider: str, resource: Resource) -> None:
        if resource.id not in self.orphans:
            self.orphans.add(resource.id)
            logger.warning(
                "orphan: %s %s bears our label, but no execution %s is known",
                provider,
                resource.name,
                resource.ownership.execution,
            )

    async def _remove(self, provider: ComputeProvider, resource: Resource) -> bool:
        """After one re-check, by immutable id."""
        again = await census.facts(self.runtime.engine, {resource.ownership.execution})
        fact = again.get(resource.ownership.execution)
        if fact is None or not fact.leftover:
            return False
        logger.info("leftover %s of %s is removed", resource.name, resource.ownership.execution)
        await provider.destroy(resource.id)
        await self.runtime.store.removed(resource.ownership.execution)
        return True

    async def _compare(self, serving: Serving, resource: Resource | None) -> None:
        """Nominate once for each change of what is seen."""
        if resource is not None and resource.state is not ResourceState.STOPPED:
            self.nominated.pop(serving.execution_id, None)
            return
        finding = f"{serving.epoch}:{'gone' if resource is None else 'stopped'}"
        if self.nominated.get(serving.execution_id) != finding:
            self.nominated[serving.execution_id] = finding
            await self.nominate(serving.tenant)
