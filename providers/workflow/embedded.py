"""The embedded workflow engine: steps run in the lease holder's own process, recorded durably in the rows.

No queue, no server: `start` begins a coroutine. If its process dies, the next owner calls `start` with the same id,
which resumes at the first unfinished step. So this engine's memory of an id ends with its process. `status` then says
unknown, and that tells the owner to start it again.
"""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from controlplane.errors import NotCurrent
from controlplane.model import STEPS, Step, StepName, StepState, SubState
from controlplane.ports import (
    Clock,
    ExecutionInput,
    ExecutionStatus,
    ExecutionStore,
    ProviderHealth,
    Started,
    StepRunner,
    WorkflowEnvironment,
)
from controlplane.settings import schema_of
from controlplane.steps.attempts import DONE, AttemptLog, Verdict
from controlplane.steps.backoff import Backoff
from controlplane.steps.probes import Probes

logger = logging.getLogger(__name__)

CRASH_LOOP_ACTIVATIONS = 10
"""If this many owners came and went without one step succeeding, the execution is taking them down."""

LONGEST_CRASH_PAUSE = 10.0
CLOSE_SECONDS = 5.0
STORE_PAUSE = 1.0
"""Seconds before the rows are tried again when the database does not answer."""


@dataclass(slots=True)
class _Run:
    """One execution in this process."""

    request: ExecutionInput
    run_step: StepRunner
    status: ExecutionStatus = field(default_factory=lambda: ExecutionStatus(SubState.RUNNING))
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    activated: bool = False
    """It is counted among the owners that began it."""
    task: "asyncio.Task[None] | None" = None

    def report(self, status: ExecutionStatus) -> None:
        if status != self.status:
            self.status = status
            self.changed.set()
            self.changed = asyncio.Event()

    async def pause(self, seconds: float) -> None:
        """Sleep until the time is over, or the execution is asked to stop."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.stopping.wait()

    async def wait(self, seconds: float) -> None:
        """`StepSignals.wait`."""
        await self.pause(seconds)
        if self.stopping.is_set():
            raise NotCurrent(f"{self.request.execution_id} is asked to stop", execution_id=self.request.execution_id)

    def failing(self, detail: str | None) -> None:
        """`StepSignals.failing`."""
        if detail is None:
            self.report(replace(self.status, sub_state=SubState.RUNNING, error=None))
        else:
            self.report(replace(self.status, sub_state=SubState.BACKING_OFF, error=detail))


class EmbeddedWorkflow:
    """`ports.WorkflowProvider` without a server.

    Promises: one coroutine for each execution id in this process; a step is retried with backoff at most `max_attempts`
    times, waits for something outside the tenant's spec not counted; Terminal errors end it at once; attempts survive
    this process. Stop means: no new effect begins, and the
    running one has returned. It breaks if a second process runs the same id; the lease prevents that and the gate makes
    it harmless.
    """

    name = "embedded"

    def __init__(
        self,
        store: ExecutionStore,
        run_step: StepRunner | None,
        clock: Clock,
        *,
        max_attempts: int,
        backoff: Backoff | None = None,
        random: Random | None = None,
    ) -> None:
        """`run_step`: None in a process that owns no tenant and starts nothing."""
        self._store = store
        self._run_step = run_step
        self._log = AttemptLog(store, clock, max_attempts=max_attempts, backoff=backoff, random=random)
        self._runs: dict[str, _Run] = {}

    @classmethod
    def config_schema(cls) -> dict[str, Any]:
        return schema_of("embedded_")

    @classmethod
    def build(cls, environment: WorkflowEnvironment) -> "EmbeddedWorkflow":
        return cls(
            environment.store,
            environment.run_step,
            environment.clock,
            max_attempts=environment.settings.step_max_attempts,
        )

    async def setup(self) -> None:
        """There is nothing to register."""

    async def start(self, request: ExecutionInput) -> Started:
        assert self._run_step is not None, "only a tenant's owner starts executions here"
        already = request.execution_id in self._runs
        if not already:
            run = self._runs[request.execution_id] = _Run(request, self._run_step)
            run.task = asyncio.create_task(self._drive(run), name=request.execution_id)
        return Started(already=already, ref=request.execution_id)

    async def status(self, execution_id: str, ref: str | None) -> ExecutionStatus:
        run = self._runs.get(execution_id)
        return run.status if run else ExecutionStatus(SubState.UNKNOWN)

    async def next_status(self, execution_id: str, ref: str | None, after: ExecutionStatus | None) -> ExecutionStatus:
        run = self._runs.get(execution_id)
        if run is None:
            return ExecutionStatus(SubState.UNKNOWN)
        while run.status == after:
            await run.changed.wait()
        return run.status

    async def cancel(self, execution_id: str, ref: str | None, reason: str, *, kill: bool = False) -> None:
        run = self._runs.get(execution_id)
        if run is not None:
            run.stopping.set()

    def forget(self, execution_id: str) -> None:
        """`RunsInOwner.forget`."""
        run = self._runs.pop(execution_id, None)
        if run is not None:
            run.stopping.set()

    async def health(self) -> ProviderHealth:
        return ProviderHealth(healthy=True)

    async def close(self) -> None:
        """Asks all executions to stop, and waits for their running effects, CLOSE_SECONDS at most. An effect that takes
        longer is left: its end is as if this process had been killed, which the next owner can bear."""
        for run in self._runs.values():
            run.stopping.set()
        tasks = [run.task for run in self._runs.values() if run.task is not None]
        if not tasks:
            return
        _, left = await asyncio.wait(tasks, timeout=CLOSE_SECONDS)
        for task in left:
            logger.warning("the effect of %s has not returned; it is left", task.get_name())

    # --- the course of one execution ---

    async def _drive(self, run: _Run) -> None:
        """Run from the first unfinished step to the end. Never raises: the status says how it ended."""
        while True:
            try:
                run.report(await self._steps(run))
                return
            except Exception as error:  # the rows could not be read or written
                why = f"the database does not answer: {type(error).__name__}"
                run.report(ExecutionStatus(SubState.RUNNING, error=why))
                await run.pause(STORE_PAUSE)
                if run.stopping.is_set():
                    run.report(ExecutionStatus(SubState.CANCELLED))
                    return

    async def _steps(self, run: _Run) -> ExecutionStatus:
        id = run.request.execution_id
        if not run.activated:  # once for this owner, however often the rows do not answer in the course of it
            activations = await self._store.activated(id)
            run.activated = True
            if activations > CRASH_LOOP_ACTIVATIONS:
                return ExecutionStatus(
                    SubState.FAILED, error=f"CrashLoop: {activations - 1} owners died during it and no step succeeded"
                )
            if activations > 2:
                await run.pause(min(LONGEST_CRASH_PAUSE, 0.25 * 2.0 ** (activations - 2)))
        context = await self._store.context(id)
        done = {step.name for step in context.steps if step.state is StepState.SUCCEEDED}
        for step in STEPS[run.request.action]:
            if step not in done:
                ended = await self._step(run, step)
                if ended is not None:
                    return ended
        return ExecutionStatus(SubState.SUCCEEDED, retry_count=run.status.retry_count)

    async def _step(self, run: _Run, step: StepName) -> ExecutionStatus | None:
        """Run one step with its retries. None: it succeeded, continue."""

        async def work(begun: Step) -> Probes:
            # Also while it looks whether what it waits for is there, the owner must know for what.
            waits = begun.error if begun.waits_for is not None else None
            run.report(ExecutionStatus(SubState.RUNNING, begun.attempts - 1 + begun.waits, waits, step=step))
            await run.run_step(run.request, step, run)
            return DONE

        while not run.stopping.is_set():
            outcome = await self._log.run(run.request.execution_id, step, work)
            match outcome.verdict:
                case Verdict.STOPPED:
                    break
                case Verdict.FAILED:
                    return ExecutionStatus(SubState.FAILED, outcome.attempts - 1, outcome.message)
                case Verdict.RETRY:
                    at = outcome.next_attempt_at
                    run.report(ExecutionStatus(SubState.BACKING_OFF, outcome.retries, outcome.message, at, step))
                    await run.pause(outcome.delay)
                case _:
                    return None
        return ExecutionStatus(SubState.CANCELLED)
