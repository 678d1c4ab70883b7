"""Running steps where people can see them, and following what an engine does with an execution."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

import ray
from ray.exceptions import RayTaskError

from controlplane.errors import LandlordError, NotCurrent, told
from controlplane.model import Execution, StepName
from controlplane.ports import ExecutionInput, ExecutionStatus, StepSignals, WorkflowProvider

logger = logging.getLogger(__name__)

FOLLOW_RETRY_SECONDS = 1.0


class VisibleStepRunner:
    """`ports.StepRunner`: the actor calls itself, under the name `acme/provision/apply_compute`, so each step is a
    task in the Ray dashboard with its state and its error. Costs about 6 ms (FACTS)."""

    def __init__(self) -> None:
        self._myself: Any = None
        self._signals: dict[str, StepSignals] = {}

    def signals(self, execution_id: str) -> StepSignals:
        """For `run_step` of the actor, which cannot be handed them. Raises NotCurrent where no step of it is called."""
        try:
            return self._signals[execution_id]
        except KeyError:
            raise NotCurrent(f"{execution_id} does not run here", execution_id=execution_id) from None

    async def __call__(self, order: ExecutionInput, step: StepName, signals: StepSignals) -> None:
        if self._myself is None:
            self._myself = ray.get_runtime_context().current_actor
        name = f"{order.tenant}/{order.action}/{step}"
        self._signals[order.execution_id] = signals
        try:
            await self._myself.run_step.options(name=name).remote(order.execution_id, step.value)
        except RayTaskError as error:
            raise error.cause from None
        finally:
            self._signals.pop(order.execution_id, None)


class Follower:
    """A child of the runner: keeps what the engine last said of one execution, and calls back when it is news.

    `silence`: why the engine does not answer, where it does not; it is asked again and again, also one that is not
    enabled: what it was asked first stays due."""

    def __init__(
        self,
        engines: Mapping[str, WorkflowProvider],
        execution: Execution,
        ref: str | None,
        news: Callable[[], None],
    ) -> None:
        self.execution_id = execution.id
        self.status: ExecutionStatus | None = None
        self.silence: str | None = None
        self._engines = engines
        self._engine = execution.provider
        self._ref = ref
        self._news = news
        self._task = asyncio.create_task(self._follow(), name=f"follow {execution.id}")

    async def _follow(self) -> None:
        while self.status is None or not self.status.sub_state.terminal:
            try:
                engine = self._engines[self._engine]
                self.status = await engine.next_status(self.execution_id, self._ref, self.status)
            except Exception as error:
                self._is_silent(error)
                await asyncio.sleep(FOLLOW_RETRY_SECONDS)
            else:
                self.silence = None
                self._news()
                if self.status.sub_state == "unknown":
                    return

    def _is_silent(self, error: Exception) -> None:
        if self.silence is not None:
            return
        self.silence = told(error, "it failed")
        expected = isinstance(error, LandlordError)
        logger.warning("the engine of %s does not answer: %s", self.execution_id, self.silence, exc_info=not expected)
        self._news()

    def stop(self) -> None:
        self._task.cancel()
