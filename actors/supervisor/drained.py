"""The supervisor's part in the drain of a node: actors there leave, and its tenants go to other nodes one by one."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from actors.directory import RayDirectory
from actors.naming import SUPERVISOR
from actors.runtime import Runtime
from actors.supervisor.locations import Locations
from controlplane.model import NodeDrain
from controlplane.persistence import drains
from controlplane.persistence.resting import Serving, resting_on
from controlplane.ports import HoldsData

logger = logging.getLogger(__name__)


class Drained:
    """A stage. Promises: while one tenant is on its way, no other one is moved; a tenant whose move has failed is not
    moved again by this supervisor while the drain lasts; none that keeps data on its machine is moved."""

    def __init__(
        self,
        runtime: Runtime,
        directory: RayDirectory,
        locations: Locations,
        living: Callable[[], Mapping[str, Sequence[str]]],
    ) -> None:
        """`living`: names of the tenants with live actors, by the id of their node. Blocks."""
        self._runtime = runtime
        self._directory = directory
        self._locations = locations
        self._living = living
        self._tried: set[str] = set()
        """Serving executions of tenants that were moved, or stay."""

    async def look(self) -> int:
        """How many nodes drain."""
        database = self._runtime.database
        found = await drains.drained(database)
        self._locations.draining = found.keys()
        if not found:
            self._tried.clear()
            return 0
        await drains.place_again(database, found.keys(), actor=SUPERVISOR)
        await self._dismiss(found)
        emptied = [name for name, gives_up in found.items() if gives_up == NodeDrain.TENANTS]
        if emptied and not await drains.begun(database, emptied):
            await self._move_one(await resting_on(database, emptied))
        return len(found)

    async def _dismiss(self, found: Mapping[str, NodeDrain]) -> None:
        ids = {node.id for node in self._locations.found if node.name in found}
        living = await asyncio.to_thread(self._living)
        names = [name for id in ids for name in living.get(id, ())]
        await asyncio.gather(*(self._directory.make_room(name) for name in names))

    async def _move_one(self, servings: Sequence[Serving]) -> None:
        database, engine = self._runtime.database, self._runtime.settings.workflow_provider
        for serving in servings:
            name = serving.tenant.name
            if serving.execution_id in self._tried:
                continue
            if await self._holds_data(serving):
                self._tried.add(serving.execution_id)
                logger.info("%s keeps data on %s, so it stays there", name, serving.node)
            elif await drains.move(database, serving, actor=SUPERVISOR, default_workflow=engine):
                self._tried.add(serving.execution_id)
                logger.info("%s goes from %s to another node", name, serving.node)
                return

    async def _holds_data(self, serving: Serving) -> bool:
        compute = self._runtime.compute
        provider = compute.get(serving.platform)
        if not isinstance(provider, HoldsData):
            return False
        return provider.holds_data(await drains.config_of(self._runtime.database, serving.execution_id))
