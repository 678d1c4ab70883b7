"""The stages of one sweep. Each is independent: caught, timed and counted by the supervisor, so that one that fails
never stops the rest. Bulk observation only nominates; the tenant's own actor decides, under its lease.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Coroutine, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal, NamedTuple
from uuid import UUID

from actors.naming import SUPERVISOR
from actors.runtime import Runtime
from actors.supervisor.breaker import Breaker
from actors.supervisor.orphans import Orphans
from actors.supervisor.queue import Priority
from controlplane.errors import LandlordError, told
from controlplane.model import Endpoint, EventType, TriggerSource
from controlplane.persistence import bootstrap, events, fleet, idempotency, pauses
from controlplane.persistence.fleet import TenantKey
from controlplane.persistence.resting import Drift, Serving, by_execution, resting
from controlplane.persistence.transaction import transaction
from controlplane.ports import ComputeProvider, KeepsBelongings, ListsBelongings, Resource

logger = logging.getLogger(__name__)

Nominate = Callable[[TenantKey, Priority], None]
PROBES_AT_ONCE = 50

PROVIDER_SECONDS = 45.0
"""One round on one provider, which then counts as failed: a platform that hangs is one that is away."""

REMOVALS_A_ROUND = 20

DESTROY_SECONDS = 15.0
"""For one leftover to go. What takes longer (a service that drains) goes on by itself, and is looked at again."""


Kind = Drift | tuple[Endpoint, ...] | Literal["unhealthy"]
"""What is not as it should be: a drift, the endpoints that it moved to, or a probe's verdict."""


class Nomination(NamedTuple):
    """For what a tenant at rest was woken."""

    execution_id: str
    epoch: int
    kind: Kind


@dataclass(slots=True)
class Sweep:
    """What one supervisor keeps between sweeps. `live`: names of the tenants whose actors live in this cluster."""

    runtime: Runtime
    nominate: Nominate
    live: Collection[str]
    breakers: dict[str, Breaker] = field(default_factory=dict)
    resting: dict[str, tuple[Serving, Resource]] = field(default_factory=dict)
    """Serving execution → what the last sweep listed for it, for the probes."""
    orphans: Orphans = field(init=False)
    _nominated: dict[TenantKey, Nomination] = field(default_factory=dict)
    _probed: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.orphans = Orphans(self.runtime.settings.orphan_grace)

    async def due(self) -> int:
        """Wake every tenant that has work and no live owner elsewhere."""
        found = await fleet.due(self.runtime.database, self.runtime.identity.cluster_id)
        for tenant in found:
            self.nominate(tenant.key, Priority.RETRY if tenant.retried else Priority.BACKLOG)
        return len(found)

    async def resources(self) -> int:
        """Each provider's list against the rows, side by side: leftovers removed, orphans reported, drift nominated.
        The count is of resources removed."""
        self.resting = {}
        rounds = [self._round(name, provider) for name, provider in self.runtime.compute.items()]
        return sum(await asyncio.gather(*rounds))

    async def probes(self) -> int:
        """Look at resting tenants without a live actor, each at most every max(its interval, the setting) seconds."""
        now = time.monotonic()
        slowest = self.runtime.settings.rest_probe_seconds
        at_once = asyncio.Semaphore(PROBES_AT_ONCE)
        wanted = []
        for execution_id, (serving, resource) in self.resting.items():
            interval = max(serving.health.interval_seconds, slowest)
            if serving.tenant.name in self.live or now - self._probed.get(execution_id, -interval) < interval:
                continue
            self._probed[execution_id] = now
            wanted.append(self._probe(serving, resource, at_once))
        await asyncio.gather(*wanted)
        self._probed = {id: at for id, at in self._probed.items() if id in self.resting}
        return len(wanted)

    def not_woken(self, tenant: TenantKey) -> None:
        """A nomination came to nothing: what was found is new to the next sweep."""
        self._nominated.pop(tenant, None)

    def died(self, name: str) -> None:
        """The owner that was to see to a finding has died: it is new to the next sweep."""
        for tenant in [tenant for tenant in self._nominated if tenant.name == name]:
            del self._nominated[tenant]

    async def retention(self) -> int:
        """Old events and idempotency keys go. The count is of rows."""
        days = self.runtime.settings.event_retention_days
        pruned = await events.prune(self.runtime.database, older_than_seconds=days * 86400)
        return pruned + await idempotency.prune(self.runtime.database)

    # --- one provider ---

    async def _round(self, name: str, provider: ComputeProvider) -> int:
        """Behind its breaker, and bounded. A failed or partial list nominates nothing and removes nothing."""
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
        identity = await provider.identity()
        installation_id = await bootstrap.installation_id(self.runtime.database)
        listed = await provider.list_owned(
            installation_id
        )  # before the rows are read: what they know by then is not unknown
        known = await fleet.facts(self.runtime.database, {r.origin.execution_id for r in listed})
        await self._compare(name, identity, listed)
        removed = await self._judge_orphans(name, provider, [r for r in listed if r.origin.execution_id not in known])
        leftovers = [r for r in listed if (fact := known.get(r.origin.execution_id)) and fact.sweepable]
        removed += sum(await self._all(self._remove(provider, r) for r in leftovers))
        if isinstance(provider, ListsBelongings) and not await self._is_paused(name):
            for tenant_id in await fleet.deleted_among(
                self.runtime.database, await provider.tenants_with_belongings(installation_id)
            ):
                await self._forget(provider, installation_id, tenant_id)
        return removed

    async def _judge_orphans(self, name: str, provider: ComputeProvider, found: Collection[Resource]) -> int:
        """Each is told to the trail once, and removed once its grace is over and a re-check still knows no row."""
        fresh, overdue = self.orphans.seen(name, found)
        await self._tell(EventType.ORPHAN_FOUND, name, fresh)
        if overdue and await self._is_paused(name):
            return 0
        still = await fleet.facts(self.runtime.database, {resource.origin.execution_id for resource in overdue})
        unwanted = [resource for resource in overdue if resource.origin.execution_id not in still]
        went = await self._all(self._destroy(provider, resource) for resource in unwanted)
        gone = [resource for resource, is_gone in zip(unwanted, went, strict=False) if is_gone]
        await self._tell(EventType.ORPHAN_REMOVED, name, gone)
        return len(gone)

    async def _tell(self, type: EventType, provider: str, resources: Collection[Resource]) -> None:
        if not resources:
            return
        async with transaction(self.runtime.database, actor=SUPERVISOR, source=TriggerSource.SUPERVISOR) as tx:
            for resource in resources:
                data = {"provider": provider, "resource": resource.id, "execution": resource.origin.execution_id}
                tx.record(type, message=resource.name, data=data)

    @staticmethod
    async def _all(removals: Iterable[Coroutine[Any, Any, bool]]) -> list[bool]:
        """Side by side, as many as one round takes; the next one takes the rest."""
        return await asyncio.gather(*islice(removals, REMOVALS_A_ROUND))

    async def _remove(self, provider: ComputeProvider, resource: Resource) -> bool:
        """After one re-check, by immutable id."""
        again = await fleet.facts(self.runtime.database, {resource.origin.execution_id})
        fact = again.get(resource.origin.execution_id)
        if fact is None or not fact.sweepable:
            return False
        logger.info("leftover %s of %s is removed", resource.name, resource.origin.execution_id)
        if not await self._destroy(provider, resource):
            return False
        await self.runtime.store.removed(resource.origin.execution_id)
        if fact.tenant_deleted:
            await self._forget(provider, resource.origin.installation_id, resource.origin.tenant_id)
        return True

    @staticmethod
    async def _forget(provider: ComputeProvider, installation_id: str, tenant_id: UUID) -> None:
        """Belongings of a deleted tenant: of a step that died long after the delete's last look."""
        if isinstance(provider, KeepsBelongings):
            try:
                await provider.forget(installation_id, tenant_id)
            except LandlordError as error:
                logger.warning("what belonged to the deleted tenant %s is not removed yet: %s", tenant_id, error)

    async def _is_paused(self, provider: str) -> bool:
        return not {"all", f"provider:{provider}"}.isdisjoint(await pauses.scopes(self.runtime.database))

    @staticmethod
    async def _destroy(provider: ComputeProvider, resource: Resource) -> bool:
        """One that does not go must not keep the sweep from the others; the next one tries again."""
        try:
            async with asyncio.timeout(DESTROY_SECONDS):
                await provider.destroy(resource.id)
        except (LandlordError, TimeoutError) as error:
            logger.warning("%s is not removed yet: %s", resource.name, told(error, "it takes long"))
            return False
        return True

    async def _compare(self, name: str, identity: str, listed: Collection[Resource]) -> None:
        """What should run against what does. Another engine's placements are not ours to judge."""
        there = by_execution(listed)
        platforms = {identity, *self.runtime.settings.lost_platforms}
        for serving in await resting(self.runtime.database, name):
            if serving.platform_identity not in platforms:
                continue
            resource = serving.resource_among(there)
            drift = serving.drift(resource)
            if drift is not None:
                self._nominate_once(serving, drift)
                continue
            assert resource is not None, "one that is not there drifted"
            self.resting[serving.execution_id] = (serving, resource)
            if resource.endpoints and resource.endpoints != serving.endpoints:
                self._nominate_once(serving, resource.endpoints)
            elif not self._is_unhealthy(serving.tenant):
                self._nominated.pop(serving.tenant, None)

    async def _probe(self, serving: Serving, resource: Resource, at_once: asyncio.Semaphore) -> None:
        async with at_once:
            result = await self.runtime.prober.probe(resource, serving.health)
        if result.healthy is False:
            self._nominate_once(serving, "unhealthy")
        elif result.healthy:
            if self._is_unhealthy(serving.tenant):
                del self._nominated[serving.tenant]
            if serving.degraded:
                self.nominate(serving.tenant, Priority.DRIFT)  # it seems well again: its actor says so

    def _is_unhealthy(self, tenant: TenantKey) -> bool:
        known = self._nominated.get(tenant)
        return known is not None and known.kind == "unhealthy"

    def _nominate_once(self, serving: Serving, kind: Kind) -> None:
        """An unchanged finding wakes a tenant once; after an execution it is a new one."""
        nomination = Nomination(serving.execution_id, serving.epoch, kind)
        if self._nominated.get(serving.tenant) != nomination:
            self._nominated[serving.tenant] = nomination
            self.nominate(serving.tenant, Priority.DRIFT)
