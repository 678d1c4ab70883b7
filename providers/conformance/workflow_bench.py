"""The bench of the workflow conformance: rows in memory, and steps that play a script."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

from controlplane.clock import SystemClock
from controlplane.errors import NotCurrent, Terminal, WaitsFor
from controlplane.model import (
    CURRENT,
    Action,
    ComputeSpec,
    Execution,
    ExecutionState,
    Observed,
    Status,
    Step,
    StepName,
    StepState,
    SubState,
    Tenant,
    TenantSpec,
    TriggerSource,
    execution_id,
)
from controlplane.ports import ExecutionInput, ExecutionStatus, RunContext, StepSignals, WorkflowProvider
from controlplane.steps.attempts import StepAttempts
from controlplane.steps.backoff import Backoff
from controlplane.steps.probes import Probes

MAX_ATTEMPTS = 3
PROBE_SECONDS = 0.1
UNTIL_SECONDS = 120.0
SPEC = TenantSpec(compute=ComputeSpec(provider="scripted"))


class MemoryStore:
    """`ports.ExecutionStore` of one execution, with the guards of the real one."""

    def __init__(self, request: ExecutionInput) -> None:
        self._request = request
        self._steps: dict[StepName, Step] = {}
        self._activations = 0
        self.state = ExecutionState.RUNNING

    def _check(self, id: str) -> None:
        if id != self._request.execution_id:
            raise Terminal(f"there is no execution {id!r}", execution_id=id)

    async def context(self, execution_id: str) -> RunContext:
        self._check(execution_id)
        return RunContext(
            installation_id="conformance",
            tenant=_tenant(self._request),
            execution=_execution(self._request, self.state),
            previous=None,
            steps=tuple(self._steps.values()),
            placements=(),
        )

    async def current(self, execution_id: str) -> bool:
        return self.state in CURRENT

    async def removable(self, execution_id: str) -> bool:
        return self.state not in CURRENT

    async def intend(self, context: RunContext, provider: str, platform_identity: str, name: str) -> bool:
        return self.state in CURRENT

    async def placed(self, execution_id: str, resource_id: str) -> None:
        """The script places nothing."""

    async def removed(self, execution_id: str) -> None:
        """The script places nothing."""

    async def abandoned(self, execution_id: str) -> None:
        """The script places nothing."""

    async def providers_used(self, execution_id: str) -> list[str]:
        return []

    async def switch(self, execution_id: str, observed: Observed) -> bool:
        return self.state in CURRENT

    async def step_started(self, execution_id: str, step: StepName) -> Step | None:
        self._check(execution_id)
        if self.state not in CURRENT:
            return None
        before = self._steps.get(step)
        if before is None:
            before = Step(execution_id, step, StepState.RUNNING, attempts=1)
        elif before.state is not StepState.RUNNING and before.waits_for is None:
            before = replace(before, attempts=before.attempts + 1)
        self._steps[step] = replace(before, state=StepState.RUNNING, next_attempt_at=None)
        return self._steps[step]

    async def step_in_call(
        self, execution_id: str, step: StepName, in_call_to: str | None, since: datetime | None
    ) -> None:
        self._steps[step] = replace(self._steps[step], in_call_to=in_call_to, in_call_since=since)

    async def step_succeeded(self, execution_id: str, step: StepName) -> None:
        self._steps[step] = replace(self._steps[step], state=StepState.SUCCEEDED, error=None, waits_for=None)
        self._activations = 0

    async def step_failed(
        self, execution_id: str, step: StepName, error: str, next_attempt_at: datetime | None
    ) -> None:
        state = StepState.BACKING_OFF if next_attempt_at else StepState.FAILED
        self._steps[step] = replace(
            self._steps[step], state=state, error=error, next_attempt_at=next_attempt_at, waits_for=None
        )

    async def step_waits(
        self, execution_id: str, step: StepName, error: str, next_attempt_at: datetime, waits_for: WaitsFor
    ) -> None:
        before = self._steps[step]
        self._steps[step] = replace(
            before,
            state=StepState.BACKING_OFF,
            error=error,
            next_attempt_at=next_attempt_at,
            waits=before.waits + 1,
            waits_for=waits_for,
        )
        self._activations = 0

    async def activated(self, execution_id: str) -> int:
        self._activations += 1
        return self._activations


class Script:
    """Scripted steps: `errors` to raise in turn, `holds` to wait for, `probes` to answer."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.calls: list[StepName] = []
        self.errors: dict[StepName, list[Exception]] = {}
        self.holds: dict[StepName, asyncio.Event] = {}
        self.reached: dict[StepName, asyncio.Event] = {step: asyncio.Event() for step in StepName}
        self.probes: Callable[[int], str | None] = lambda look: None
        """The detail with which probe 1, 2, … fails. None: it is healthy."""
        self.looks = 0

    async def run(self, execution_id: str, step: StepName, signals: StepSignals) -> None:
        if step is not StepName.WAIT_HEALTHY:
            await self._play(step)
            return
        probes = Probes()
        while True:
            probes = await self.probe_once(execution_id, probes)
            signals.failing(probes.failing)
            if probes.again is None:
                return
            await signals.wait(probes.again)

    async def probe_once(self, execution_id: str, before: Probes) -> Probes:
        if before == Probes():
            await self._play(StepName.WAIT_HEALTHY)
        self._gate(execution_id)
        self.looks += 1
        detail = self.probes(self.looks)
        if detail is None:
            return Probes(attempt=1, good=1, again=None)
        return Probes(attempt=1, bad=before.bad + 1, failing=detail, again=PROBE_SECONDS)

    async def _play(self, step: StepName) -> None:
        self.calls.append(step)
        self.reached[step].set()
        if step in self.holds:
            await self.holds[step].wait()
        if self.errors.get(step):
            raise self.errors[step].pop(0)

    def _gate(self, execution_id: str) -> None:
        if self._store.state not in CURRENT:
            raise NotCurrent(f"{execution_id} is no longer current", execution_id=execution_id)


class Bench:
    """One execution, its rows, its steps, and the attempts that an engine's runners make."""

    def __init__(self, action: Action = Action.PROVISION) -> None:
        tenant_id = uuid4()
        self.request = ExecutionInput(
            execution_id=execution_id("conformance", action, 1, tenant_id),
            tenant_id=tenant_id,
            tenant="conformance",
            action=action,
            generation=1,
            run=1,
            trigger_source=TriggerSource.API,
        )
        self.store = MemoryStore(self.request)
        self.script = Script(self.store)
        self.backoff = Backoff(base=1.0, ceiling=1.5)
        self.attempts = StepAttempts(
            self.store, self.script, SystemClock(), max_attempts=MAX_ATTEMPTS, backoff=self.backoff
        )

    @property
    def id(self) -> str:
        return self.request.execution_id


async def until(
    provider: WorkflowProvider, bench: Bench, ref: str | None, condition: Callable[[ExecutionStatus], bool]
) -> ExecutionStatus:
    """Follows the execution as an owner does. On failure, the message lists the statuses seen."""
    seen: list[ExecutionStatus] = []
    try:
        async with asyncio.timeout(UNTIL_SECONDS):
            while not seen or not condition(seen[-1]):
                seen.append(await provider.next_status(bench.id, ref, seen[-1] if seen else None))
    except TimeoutError:
        raise AssertionError(f"not in {UNTIL_SECONDS:g} s; seen: {seen}") from None
    return seen[-1]


async def end(provider: WorkflowProvider, bench: Bench, ref: str | None) -> ExecutionStatus:
    return await until(provider, bench, ref, lambda status: status.sub_state.terminal)


def _tenant(request: ExecutionInput) -> Tenant:
    now = datetime.now(UTC)
    return Tenant(
        id=request.tenant_id,
        name=request.tenant,
        labels={},
        annotations={},
        spec=SPEC,
        generation=request.generation,
        observed_generation=0,
        status=Status.PLANNING,
        status_message="",
        conditions=(),
        observed=Observed(),
        newest_execution=request.execution_id,
        serving_execution=None,
        version=1,
        paused=False,
        epoch=1,
        fence=1,
        lease_owner=None,
        lease_expires_at=None,
        created_at=now,
        updated_at=now,
    )


def _execution(request: ExecutionInput, state: ExecutionState) -> Execution:
    return Execution(
        id=request.execution_id,
        tenant_id=request.tenant_id,
        tenant_name=request.tenant,
        action=request.action,
        generation=request.generation,
        run=request.run,
        state=state,
        sub_state=SubState.RUNNING,
        engine="conformance",
        provider_ref=None,
        spec=SPEC,
        trigger_source=request.trigger_source,
        retry_count=0,
        error=None,
        created_at=datetime.now(UTC),
    )
