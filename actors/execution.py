"""Running steps where people can see them, and following what an engine does with an execution."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import RayTaskError

from controlplane.model import Execution, StepName
from controlplane.ports import ExecutionInput, ExecutionStatus, WorkflowProvider

logger = logging.getLogger(__name__)

FOLLOW_RETRY_SECONDS = 1.0


class VisibleStepRunner:
    """`ports.StepRunner`: the actor calls itself, under the name `acme/provision/apply_compute`, so each step is a
    task in the Ray dashboard with its state and its error. Costs about 6 ms (FACTS)."""

    def __init__(self) -> None:
        self._myself: Any = None

    async def __call__(self, order: ExecutionInput, step: StepName) -> None:
        if self._myself is None:
            self._myself = ray.get_runtime_context().current_actor
        name = f"{order.tenant}/{order.action}/{step}"
        try:
            await self._myself.run_step.options(name=name).remote(order.execution_id, step.value)
        except RayTaskError as error:
            raise error.cause from None


class Follower:
    """A child of the runner: keeps what the engine last said of one execution, and calls back when it is news."""

    def __init__(self, provider: WorkflowProvider, execution: Execution, ref: str | None, news: Callable[[], None]):
        self.execution_id = execution.id
        self.status: ExecutionStatus | None = None
        self._provider = provider
        self._ref = ref
        self._news = news
        self._task = asyncio.create_task(self._follow(), name=f"follow {execution.id}")

    async def _follow(self) -> None:
        while self.status is None or not self.status.sub_state.terminal:
            try:
                self.status = await self._provider.next_status(self.execution_id, self._ref, self.status)
            except Exception:
                logger.exception("the engine of %s does not answer", self.execution_id)
                await asyncio.sleep(FOLLOW_RETRY_SECONDS)
            else:
                self._news()
                if self.status.sub_state == "unknown":
                    return

    def stop(self) -> None:
        self._task.cancel()
