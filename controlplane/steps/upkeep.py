"""The owner's work on its executions' resources between executions.

The tenant's runner calls it, as chores. Each verb is idempotent and reads rows first.
"""

from controlplane.model import Execution
from controlplane.ports import ExecutionStore, Prober, ProbeResult, Resource, ResourceState, RunContext
from controlplane.steps.platforms import Platforms


class Upkeep:
    """Cleans, observes and restores on the enabled compute providers. Holds no state of any execution."""

    def __init__(self, store: ExecutionStore, platforms: Platforms, prober: Prober) -> None:
        self._store = store
        self._platforms = platforms
        self._prober = prober

    async def clean(self, execution: Execution) -> None:
        """Remove the leftovers of an execution that has ended and does not serve. If they may not be removed, do
        nothing."""
        context = await self._store.context(execution.id)
        if await self._store.removable(execution.id):
            await self._platforms.remove(context, [p for p in context.placements if p.execution_id == execution.id])

    async def context(self, execution: Execution) -> RunContext:
        """The rows that `observe` needs."""
        return await self._store.context(execution.id)

    async def observe(self, execution: Execution, context: RunContext) -> tuple[Resource | None, ProbeResult]:
        """One probe of an execution's resource, without a gate. Raises Unavailable if its platform does not answer, or
        if another platform does."""
        resource = await (await self._platforms.of(context)).observe(context.origin)
        if resource is None:
            return None, ProbeResult(healthy=False, detail=f"{context.origin.name} is gone")
        return resource, await self._prober.probe(resource, execution.spec.health)

    async def restore(self, execution: Execution) -> None:
        """Start an execution's resource again if it does not run."""
        context = await self._store.context(execution.id)
        provider = await self._platforms.of(context)
        resource = await provider.observe(context.origin)
        if resource is not None and resource.state in (ResourceState.STOPPED, ResourceState.CREATED):
            await provider.start(resource.id)
