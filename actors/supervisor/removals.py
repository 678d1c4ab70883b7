"""What the sweep removes: leftovers of executions that are over, orphans, and belongings of deleted tenants."""

import asyncio
import logging
from collections.abc import Collection, Coroutine, Iterable
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from actors.naming import SUPERVISOR
from actors.supervisor.orphans import Orphans
from controlplane.errors import LandlordError, told
from controlplane.model import EventType, TriggerSource
from controlplane.persistence import fleet, pauses
from controlplane.persistence.transaction import transaction
from controlplane.ports import ComputeProvider, ExecutionStore, KeepsBelongings, ListsBelongings, Resource

logger = logging.getLogger(__name__)

REMOVALS_A_ROUND = 20

DESTROY_SECONDS = 15.0
"""For one leftover to go. What takes longer (a service that drains) goes on by itself, and is looked at again."""


class Removals:
    """Promises: nothing is removed without one re-check of the rows, by immutable id; nothing that is unknown or
    unowned where its platform or all is paused; one that does not go keeps none of the others."""

    def __init__(self, database: AsyncEngine, store: ExecutionStore, orphans: Orphans) -> None:
        self._database = database
        self._store = store
        self._orphans = orphans

    async def leftovers(self, provider: ComputeProvider, listed: Iterable[Resource]) -> int:
        """Remove those that the rows said may go. Returns how many went."""
        return sum(await self._all(self._remove(provider, resource) for resource in listed))

    async def orphans(self, name: str, provider: ComputeProvider, listed: Collection[Resource]) -> int:
        """All that no row knows. Each is told to the trail once, and removed once its grace is over and a re-check
        still knows no row. Returns how many went."""
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
        """Those of deleted tenants, where the provider can list them."""
        if not isinstance(provider, ListsBelongings) or await self._is_paused(name):
            return
        kept = await provider.tenants_with_belongings(installation_id)
        for tenant_id in await fleet.deleted_among(self._database, kept):
            await self._forget(provider, installation_id, tenant_id)

    async def _remove(self, provider: ComputeProvider, resource: Resource) -> bool:
        """After one re-check, by immutable id."""
        again = await fleet.facts(self._database, {resource.origin.execution_id})
        fact = again.get(resource.origin.execution_id)
        if fact is None or not fact.sweepable:
            return False
        logger.info("leftover %s of %s is removed", resource.name, resource.origin.execution_id)
        if not await self._destroy(provider, resource):
            return False
        await self._store.removed(resource.origin.execution_id)
        if fact.tenant_deleted:
            await self._forget(provider, resource.origin.installation_id, resource.origin.tenant_id)
        return True

    async def _tell(self, type: EventType, provider: str, resources: Collection[Resource]) -> None:
        if not resources:
            return
        async with transaction(self._database, actor=SUPERVISOR, source=TriggerSource.SUPERVISOR) as tx:
            for resource in resources:
                data = {"provider": provider, "resource": resource.id, "execution": resource.origin.execution_id}
                tx.record(type, message=resource.name, data=data)

    async def _is_paused(self, provider: str) -> bool:
        return not {"all", f"provider:{provider}"}.isdisjoint(await pauses.scopes(self._database))

    @staticmethod
    async def _all(removals: Iterable[Coroutine[Any, Any, bool]]) -> list[bool]:
        """Side by side, as many as one round takes; the next one takes the rest."""
        return await asyncio.gather(*islice(removals, REMOVALS_A_ROUND))

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

    @staticmethod
    async def _forget(provider: ComputeProvider, installation_id: str, tenant_id: UUID) -> None:
        """Belongings of a deleted tenant: of a step that died long after the delete's last look."""
        if isinstance(provider, KeepsBelongings):
            try:
                await provider.forget(installation_id, tenant_id)
            except LandlordError as error:
                logger.warning("belongings of the deleted tenant %s are not removed yet: %s", tenant_id, error)
