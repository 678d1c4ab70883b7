"""Keeping workflow engines set up: a stage of the supervisor's sweep."""

import logging

from actors.runtime import Runtime
from actors.step_worker import ensure_step_workers
from controlplane.errors import LandlordError
from controlplane.persistence import clusters
from controlplane.ports import CallsOneCluster, WorkflowProvider

logger = logging.getLogger(__name__)


class Engines:
    """Registers our workflow with each engine, at the first sweep and again after the engine was away: it may have lost
    its memory. Engines are independent: if one is away, the others are still set up.

    An engine that calls one cluster calls the youngest that lives: an older one leaves the registration to it, and
    takes it back once it has ended or is silent."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._set_up: set[str] = set()

    async def look(self) -> int:
        """One round over the enabled engines and their runners. Returns the number of engines that it set up."""
        ensure_step_workers(self._runtime.settings)
        count = 0
        for name, engine in self._runtime.workflow.items():
            try:
                health = await engine.health()
                if not health.healthy:
                    self._away(name, health.detail)
                elif name not in self._set_up or await self._should_call_us(engine):
                    await engine.setup()
                    self._set_up.add(name)
                    count += 1
                    logger.info("workflow engine %s is set up", name)
            except LandlordError as error:
                self._away(name, error.message)
        return count

    async def _should_call_us(self, engine: WorkflowProvider) -> bool:
        """It does not call us, and we are the ones whom it should call."""
        if not isinstance(engine, CallsOneCluster) or await engine.calls_us():
            return False
        return await clusters.is_youngest(self._runtime.database, self._runtime.identity.cluster_id)

    def _away(self, name: str, why: str) -> None:
        self._set_up.discard(name)
        logger.warning("workflow engine %s is not ready: %s", name, why)
