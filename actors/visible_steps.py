"""Runs steps visibly: as tasks of the tenant's actor in the Ray dashboard."""

from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import RayTaskError

from controlplane.errors import NotCurrent, told
from controlplane.model import StepName
from controlplane.ports import ExecutionInput, StepSignals


class VisibleStepRunner:
    """`ports.StepRunner`: the actor calls itself, under the name `acme/provision/apply_compute`. So each step is a task
    in the Ray dashboard with its state and its error. Costs about 6 ms."""

    def __init__(self, tell: Callable[..., None]) -> None:
        """`tell`: called with execution, step, state and maybe error, at its begin and at its end."""
        self._tell = tell
        self._myself: Any = None
        self._signals: dict[str, StepSignals] = {}

    def signals(self, execution_id: str) -> StepSignals:
        """The signals for the actor's `run_step`, which cannot receive them as arguments. Raises NotCurrent if no step
        of that execution is being called."""
        try:
            return self._signals[execution_id]
        except KeyError:
            raise NotCurrent(f"{execution_id} does not run here", execution_id=execution_id) from None

    async def __call__(self, request: ExecutionInput, step: StepName, signals: StepSignals) -> None:
        if self._myself is None:
            self._myself = ray.get_runtime_context().current_actor
        name = f"{request.tenant}/{request.action}/{step}"
        self._signals[request.execution_id] = signals
        self._tell(request.execution_id, step.value, "running")
        try:
            await self._myself.run_step.options(name=name).remote(request.execution_id, step.value)
        except RayTaskError as error:
            self._tell(request.execution_id, step.value, "failed", told(error.cause, "an unexpected error"))
            raise error.cause from None
        else:
            self._tell(request.execution_id, step.value, "succeeded")
        finally:
            self._signals.pop(request.execution_id, None)
