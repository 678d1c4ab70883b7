"""The platforms that hold a tenant's resources. Used by the steps, and by the owner between executions.

A resource belongs to the platform that it was placed on. If the same provider now speaks to another platform, that
platform says nothing about the resource.
"""

from collections.abc import Collection, Iterable, Mapping

from controlplane.errors import ProviderNotEnabled, Unavailable
from controlplane.model import Placement
from controlplane.ports import ComputeProvider, ExecutionStore, Resource, RunContext


class Platforms:
    """The enabled compute providers, each with the platform that it speaks to now.

    Promises: for a resource, only the platform that it was placed on is ever acted on; a platform that is lost for good
    is not asked. Holds no state of any execution.
    """

    def __init__(
        self,
        store: ExecutionStore,
        compute: Mapping[str, ComputeProvider],
        lost: Collection[str] = (),
    ) -> None:
        """`lost`: identities of the platforms that are gone for good, with everything on them."""
        self._store = store
        self._compute = compute
        self._lost = lost

    def enabled(self, name: str) -> ComputeProvider:
        """Raises ProviderNotEnabled."""
        try:
            return self._compute[name]
        except KeyError:
            raise ProviderNotEnabled(
                f"compute provider {name!r} is not enabled here", enabled=sorted(self._compute)
            ) from None

    def get(self, name: str) -> ComputeProvider | None:
        """The provider. None: it is not enabled here."""
        return self._compute.get(name)

    async def of(self, context: RunContext) -> ComputeProvider:
        """The provider of an execution. Raises ProviderNotEnabled, and Unavailable if it now speaks to another platform
        than the one that its resource was placed on."""
        name = context.execution.spec.compute.provider
        provider = self.enabled(name)
        for placement in context.placements:
            lost = placement.platform_identity in self._lost
            if placement.execution_id == context.maker.id and not lost:
                await self._same_platform(name, provider, placement.platform_identity)
        return provider

    def stays(self, context: RunContext, identity: str, placements: Iterable[Placement]) -> None:
        """The execution may make its resource on that platform. Raises Unavailable if the one that it replaces is among
        these placements, on another platform of the same provider: nobody could remove it, and it would serve beside
        the new one. One on another machine of the cluster is removed there, so it is not among them."""
        name, before = context.execution.spec.compute.provider, context.previous
        if before is None:
            return
        for placement in placements:
            lost = placement.platform_identity in self._lost
            if placement.execution_id == before.id and placement.platform == name and not lost:
                self._same(name, identity, placement.platform_identity)

    async def remove(self, context: RunContext, placements: Iterable[Placement]) -> None:
        """Destroy the resources of these placements by immutable id, and record that they are gone. Raises as
        `resources`."""
        chosen = tuple(placements)
        executions = {placement.execution_id for placement in chosen}
        for resource, provider in await self.resources(context, chosen):
            if resource.origin.execution_id in executions:
                await provider.destroy(resource.id)
        for placement in chosen:
            await self._store.removed(placement.execution_id)

    async def resources(
        self, context: RunContext, placements: Iterable[Placement]
    ) -> list[tuple[Resource, ComputeProvider]]:
        """The tenant's resources on the providers of these placements, recorded or not.

        Raises Unavailable if one of the providers is not enabled now, or speaks to another platform than the one it
        placed on."""
        found = []
        for name, identity in sorted({(p.platform, p.platform_identity) for p in placements}):
            if identity in self._lost:
                continue
            provider = self._compute.get(name)
            if provider is None:
                raise Unavailable(f"compute provider {name!r}, which holds resources of this tenant, is not enabled")
            await self._same_platform(name, provider, identity)
            for resource in await provider.list_owned(context.installation_id, context.tenant.id):
                found.append((resource, provider))
        return found

    @staticmethod
    async def _same_platform(name: str, provider: ComputeProvider, placed_on: str) -> None:
        Platforms._same(name, await provider.identity(), placed_on)

    @staticmethod
    def _same(name: str, now: str, placed_on: str) -> None:
        if now != placed_on:
            raise Unavailable(f"{name} is another platform ({now}) than the one that holds resources ({placed_on})")
