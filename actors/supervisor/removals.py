"""The removals of the sweep: leftovers of ended executions, orphans, and belongings of deleted tenants."""

import asyncio
import logging
from collections.abc import Collection, Coroutine, Iterable
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from actors.naming import SUPERVISOR
from actors.supervisor.effects import Effects
from actors.supervisor.orphans import Orphans
from controlplane.errors import HeldByOthers, LandlordError, told
from controlplane.model import EventType, TriggerSource
from controlplane.persistence import fleet, pauses
from controlplane.persistence.transaction import transaction
from controlplane.ports import ComputeProvider, ExecutionStore, KeepsBelongings, ListsBelongings, Resource

logger = logging.getLogger(__name__)

REMOVALS_A_ROUND = 20

DESTROY_SECONDS = 15.0
"""A sweep waits so long for one removal. If it takes longer (a service that drains, a platform that hangs), it
continues by itself, and the next sweep looks again."""


class Removals:
    """Promises: each removal is by immutable id, after one re-check of the rows. If a platform or everything is paused,
    no orphan and no belonging there is removed. If one removal fails, the others go on."""

    def __init__(self, database: AsyncEngine, store: ExecutionStore, orphans: Orphans) -> None:
        self.effects = Effects()
        self._database = database
        self._store = store
        self._orphans = orphans
        self._held: dict[UUID, str] = {}
        """Deleted tenants of which something is held by others, and the text that the audit trail has of it."""

    async def leftovers(self, provider: ComputeProvider, listed: Iterable[Resource]) -> int:
        """Remove the listed resources, which the rows released. Returns the number of removed ones."""
        return sum(await self._all(self._remove(provider, resource) for resource in listed))

    async def orphans(self, name: str, provider: ComputeProvider, listed: Collection[Resource]) -> int:
        """Handle all resources that no row knows. Each is reported once in the audit trail, and removed once its grace
        is over and a re-check still finds no row. Returns the number of removed ones."""
        fresh, overdue = self._orphans.seen(name, listed)
        await self._tell(EventType.ORPHAN_FOUND, name, fresh)
        if overdue and await self._is_paused(name):
            return 0
        still = await fleet.facts(self._database, {resource.origin.execution_id for resource in overdue})
        unwanted = [resource for resource in overdue if resource.origin.execution_id not in still]
        went = await self._all(self._destroy(provider, resource) for resource in unwanted)
        gone = [resource for resource, is_gone in zip(unwanted, went, strict=False) if is_gone]
        await self._tell(EventType.ORPHAN_REMOVED, name, gone)
        return len(gone)

    async def belongings(self, name: str, provider: ComputeProvider, installation_id: str) -> None:
        """Remove the belongings of deleted tenants, if the provider can list them."""
        if not isinstance(provider, ListsBelongings) or await self._is_paused(name):
            return
        kept = await provider.tenants_with_belongings(installation_id)
        for tenant_id in await fleet.deleted_among(self._database, kept):
            await self._forget(name, provider, installation_id, tenant_id)

    async def _remove(self, provider: ComputeProvider, resource: Resource) -> bool:
        """Remove it by immutable id, after one re-check."""
        again = await fleet.facts(self._database, {resource.origin.execution_id})
        fact = again.get(resource.origin.execution_id)
        if fact is None or not fact.sweepable:
            return False
        logger.info("leftover %s of %s is removed", resource.name, resource.origin.execution_id)
        if not await self._destroy(provider, resource):
            return False
        await self._store.removed(resource.origin.execution_id)
        if fact.tenant_deleted:
            await self._forget(provider.name, provider, resource.origin.installation_id, resource.origin.tenant_id)
        return True

    async def _tell(self, type: EventType, provider: str, resources: Collection[Resource]) -> None:
        if not resources:
            return
        async with transaction(self._database, actor=SUPERVISOR, source=TriggerSource.SUPERVISOR) as tx:
            for resource in resources:
                data = {"provider": provider, "resource": resource.id, "execution": resource.origin.execution_id}
                tx.record(type, message=resource.name, data=data)

    async def _tell_held(self, provider: str, tenant_id: UUID, message: str) -> None:
        async with transaction(self._database, actor=SUPERVISOR, source=TriggerSource.SUPERVISOR) as tx:
            data = {"provider": provider, "tenant_id": str(tenant_id)}
            tx.record(EventType.BELONGINGS_HELD, message=message, data=data)

    async def _is_paused(self, provider: str) -> bool:
        return not {"all", f"provider:{provider}"}.isdisjoint(await pauses.scopes(self._database))

    @staticmethod
    async def _all(removals: Iterable[Coroutine[Any, Any, bool]]) -> list[bool]:
        """Run removals in parallel, as many as one round takes; the next one takes the rest."""
        return await asyncio.gather(*islice(removals, REMOVALS_A_ROUND))

    async def _destroy(self, provider: ComputeProvider, resource: Resource) -> bool:
        """Remove one resource. If that fails, the sweep goes on with the others, and the next sweep tries again."""
        name = f"removal of {provider.name} {resource.name}"
        try:
            await self.effects.within(DESTROY_SECONDS, name, lambda: provider.destroy(resource.id))
        except (LandlordError, TimeoutError) as error:
            logger.warning("%s is not removed yet: %s", resource.name, told(error, "it takes long"))
            return False
        return True

    async def _forget(self, name: str, provider: ComputeProvider, installation_id: str, tenant_id: UUID) -> None:
        """Remove belongings of a deleted tenant. They come from a step that died long after the delete's last look, or
        somebody else used them then."""
        if not isinstance(provider, KeepsBelongings):
            return
        keeper: KeepsBelongings = provider
        effect = f"removal of what {tenant_id} has on {name}"
        try:
            await self.effects.within(DESTROY_SECONDS, effect, lambda: keeper.forget(installation_id, tenant_id))
            self._held.pop(tenant_id, None)
        except HeldByOthers as error:
            if self._held.get(tenant_id) != error.message:
                self._held[tenant_id] = error.message
                await self._tell_held(name, tenant_id, error.message)
        except (LandlordError, TimeoutError) as error:
            why = told(error, "it takes long")
            logger.warning("belongings of the deleted tenant %s are not removed yet: %s", tenant_id, why)
