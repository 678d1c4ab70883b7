"""Step workers: a small pool of actors, named `step-worker:<n>`, that do the steps of Step Functions' executions.

Detached and restarted by Ray for ever: they hold no state, and a dead worker's messages come back from the queue. The
deployment creates them if the engine is set up; the supervisor's sweep creates missing ones.
"""

import asyncio
import os
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayError

from actors import nodes
from actors.naming import NAMESPACE
from actors.runtime import Runtime, build_runtime
from actors.shared import SharedState
from controlplane.settings import Settings
from controlplane.steps.attempts import StepAttempts
from providers import registry

if TYPE_CHECKING:
    from providers.workflow.stepfunctions.worker import StepWorker

STEP_FUNCTIONS = "stepfunctions"
"""The engine's name. Only a worker imports the engine, and with it the SDK of AWS: who looks after the pool has no use
for it."""
WORKERS = 2
CONNECTIONS = 5
CONCURRENCY = 10
DESCRIBE_SECONDS = 10


class StepWorkerHost:
    """One worker. Promises: it takes steps as long as it lives; its build is that of the code it runs."""

    async def __init__(self, number: int) -> None:  # type: ignore[misc]  # Ray awaits it
        from providers.workflow.stepfunctions.worker import worker_of  # noqa: PLC0415  # see STEP_FUNCTIONS

        self._number = number
        self._runtime: Runtime = build_runtime(actor=repr(self), pool=CONNECTIONS, share=SharedState, node=nodes.here())
        settings = self._runtime.settings
        attempts = StepAttempts(
            self._runtime.store,
            self._runtime.steps,
            self._runtime.clock,
            max_attempts=settings.step_max_attempts,
            engine=STEP_FUNCTIONS,
        )
        self._worker: StepWorker = worker_of(settings, attempts, self._runtime.clock)
        self._working = asyncio.create_task(self._worker.run(), name=repr(self))

    def __repr__(self) -> str:
        return name_of(self._number)

    async def describe(self) -> dict[str, Any]:
        """For operators: its identity, and the number of steps in hand."""
        return {"pid": os.getpid(), "build": self._runtime.identity.build, "steps": self._worker.busy}


def name_of(number: int) -> str:
    return f"step-worker:{number}"


def deploy(settings: Settings, build: str) -> None:
    """Create the pool if the engine is set up; else remove it. Workers of another build are ended first: their messages
    come back from the queue. Idempotent."""
    wanted = _wanted(settings)
    for number in range(WORKERS):
        _end_unless(number, build if number < wanted else None)
    ensure_step_workers(settings)


def ensure_step_workers(settings: Settings) -> None:
    """Create the missing workers of the pool. The supervisor's sweep calls this too: operators may kill actors."""
    for number in range(_wanted(settings)):
        StepWorkerActor.options(
            **nodes.where(settings),
            name=name_of(number),
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            num_cpus=0,
            max_restarts=-1,
            max_task_retries=0,
            max_concurrency=CONCURRENCY,
        ).remote(number)


def _wanted(settings: Settings) -> int:
    return WORKERS if STEP_FUNCTIONS in registry.enabled_workflow_names(settings) else 0


def _end_unless(number: int, build: str | None) -> None:
    try:
        worker: Any = ray.get_actor(name_of(number), namespace=NAMESPACE)
    except ValueError:
        return
    if build is None or _build(worker) != build:
        ray.kill(worker)


def _build(worker: Any) -> str | None:
    """The worker's build. None: it does not answer, so it must be replaced."""
    try:
        return str(ray.get(worker.describe.remote(), timeout=DESCRIBE_SECONDS)["build"])
    except RayError:
        return None


StepWorkerActor = ray.remote(StepWorkerHost)
