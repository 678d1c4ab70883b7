"""The platform whose answer a step waits for, written down once that takes long: an effect whose platform hangs is
waited for, so people must be able to see it."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from controlplane.model import StepName
from controlplane.ports import Clock, ExecutionStore, RunContext

logger = logging.getLogger(__name__)

LONG_SECONDS = 15.0
"""An attempt that takes longer than this says whose answer it waits for."""

ASKS_PLATFORMS = frozenset(
    {StepName.APPLY_COMPUTE, StepName.RETIRE_PREVIOUS, StepName.DESTROY_COMPUTE, StepName.VERIFY_GONE}
)
"""The steps that have effects. `wait_healthy` waits by its nature, and has its own words for it."""


class LongCalls:
    """Watches attempts at steps. Holds no state of any execution."""

    def __init__(self, store: ExecutionStore, clock: Clock, *, after: float = LONG_SECONDS) -> None:
        self._store = store
        self._clock = clock
        self._after = after

    @asynccontextmanager
    async def told(self, execution_id: str, step: StepName) -> AsyncIterator[None]:
        """Around one attempt. If it takes long, its row names the platforms that it waits for, and since when. Nothing
        of this can fail or delay the attempt."""
        if step not in ASKS_PLATFORMS:
            yield
            return
        telling = asyncio.create_task(self._tell(execution_id, step, self._clock.now()), name=f"watch {execution_id}")
        try:
            yield
        finally:
            telling.cancel()

    async def _tell(self, execution_id: str, step: StepName, since: datetime) -> None:
        await self._clock.sleep(self._after)
        try:
            context = await self._store.context(execution_id)
            await self._store.step_in_call(execution_id, step, asked(context, step), since)
        except Exception as error:
            logger.warning(
                "that %s of %s takes long cannot be written down: %s", step, execution_id, type(error).__name__
            )


def asked(context: RunContext, step: StepName) -> str:
    """The platforms that a step asks: `docker`, or several with commas."""
    placed_on = {placement.platform for placement in context.placements}
    if step is StepName.APPLY_COMPUTE:
        placed_on = {context.execution.spec.compute.provider}
    return ", ".join(sorted(placed_on)) or context.execution.spec.compute.provider
