"""The platform whose answer a step waits for, written down once that takes long: an effect whose platform hangs is
waited for, so people must be able to see it."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from controlplane.model import StepName
from controlplane.ports import Clock, ExecutionStore, RunContext

logger = logging.getLogger(__name__)

LONG_SECONDS = 15.0
"""An attempt that takes longer than this says whose answer it waits for."""

ASKS_PLATFORMS = frozenset(
    {
        StepName.APPLY_COMPUTE,
        StepName.WAIT_HEALTHY,
        StepName.RETIRE_PREVIOUS,
        StepName.DESTROY_COMPUTE,
        StepName.VERIFY_GONE,
    }
)


@dataclass
class _Call:
    """One call. `told`: its row says that it takes long."""

    execution_id: str
    step: StepName
    since: datetime
    told: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)


class LongCalls:
    """Watches attempts at steps. Holds no state of any execution."""

    def __init__(self, store: ExecutionStore, clock: Clock, *, after: float = LONG_SECONDS) -> None:
        self._store = store
        self._clock = clock
        self._after = after
        self._telling: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def told(self, execution_id: str, step: StepName) -> AsyncIterator[None]:
        """Around one attempt; in `wait_healthy`, which waits by its nature, around each call of an attempt. If it takes
        long, its row names the platforms that it waits for, and since when. Nothing of this can fail or delay the
        attempt."""
        if step not in ASKS_PLATFORMS:
            yield
            return
        call = _Call(execution_id, step, self._clock.now())
        telling = asyncio.create_task(self._tell(call), name=f"watch {execution_id}")
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)
        try:
            yield
        finally:
            call.over.set()
            if not (call.told and step is StepName.WAIT_HEALTHY):
                telling.cancel()

    async def _tell(self, call: _Call) -> None:
        await self._clock.sleep(self._after)
        call.told = True
        try:
            context = await self._store.context(call.execution_id)
            await self._store.step_in_call(call.execution_id, call.step, asked(context, call.step), call.since)
            if call.step is StepName.WAIT_HEALTHY:  # the attempt goes on after this call
                await call.over.wait()
                await self._store.step_in_call(call.execution_id, call.step, None, None)
        except Exception as error:
            logger.warning(
                "that %s of %s takes long cannot be written down: %s",
                call.step,
                call.execution_id,
                type(error).__name__,
            )


def asked(context: RunContext, step: StepName) -> str:
    """The platforms that a step asks: `docker`, or several with commas."""
    placed_on = {placement.platform for placement in context.placements}
    if step in (StepName.APPLY_COMPUTE, StepName.WAIT_HEALTHY):
        placed_on = {context.execution.spec.compute.provider}
    return ", ".join(sorted(placed_on)) or context.execution.spec.compute.provider
