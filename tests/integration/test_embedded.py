"""The embedded engine on real rows, with scripted steps: retries, resumption, stopping, crash loops."""

import asyncio
from collections.abc import AsyncIterator, Callable
from random import Random

import pytest
import pytest_asyncio
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.clock import SystemClock
from controlplane.errors import NotCurrent, Retryable, Terminal
from controlplane.model import ComputeSpec, StepName, StepState, StopCause, SubState, TenantSpec
from controlplane.persistence import leases
from controlplane.persistence.execution_store import PostgresExecutionStore
from controlplane.persistence.owned_tenant import OwnedTenant
from controlplane.ports import ExecutionInput, ExecutionStatus, StepSignals
from controlplane.steps.backoff import Backoff
from providers.workflow import embedded
from providers.workflow.embedded import CRASH_LOOP_ACTIVATIONS, EmbeddedWorkflow
from tests.integration.owner import create

SPEC = TenantSpec(compute=ComputeSpec(provider="fake"))
QUICK = Backoff(base=0.001, ceiling=0.002)


class Script:
    """A `StepRunner` that plays what each step is told: errors to raise in turn, then success."""

    def __init__(self) -> None:
        self.calls: list[StepName] = []
        self.errors: dict[StepName, list[Exception]] = {}
        self.before: Callable[[StepName], asyncio.Future[None] | None] = lambda step: None

    async def __call__(self, request: ExecutionInput, step: StepName, signals: StepSignals) -> None:
        self.calls.append(step)
        pause = self.before(step)
        if pause is not None:
            await pause
        if self.errors.get(step):
            raise self.errors[step].pop(0)


class Bench:
    """One running execution and an engine for it; `revive` is the engine of the next owner."""

    def __init__(self, database: AsyncEngine, owned: OwnedTenant, request: ExecutionInput) -> None:
        self.store = PostgresExecutionStore(database)
        self.owned = owned
        self.request = request
        self.script = Script()
        self.workflow = self.revive()

    def revive(self, backoff: Backoff = QUICK) -> EmbeddedWorkflow:
        self.workflow = EmbeddedWorkflow(
            self.store, self.script, SystemClock(), max_attempts=3, backoff=backoff, random=Random(1)
        )
        return self.workflow

    async def until(self, condition: Callable[[ExecutionStatus], bool]) -> ExecutionStatus:
        id = self.request.execution_id
        status = await self.workflow.status(id, None)
        async with asyncio.timeout(10):
            while not condition(status):
                status = await self.workflow.next_status(id, None, status)
        return status

    async def end(self) -> ExecutionStatus:
        return await self.until(lambda status: status.sub_state.terminal)

    async def step(self, name: StepName) -> tuple[StepState, int]:
        context = await self.store.context(self.request.execution_id)
        return next((step.state, step.attempts) for step in context.steps if step.name is name)


@pytest_asyncio.fixture
async def bench(database: AsyncEngine) -> AsyncIterator[Bench]:
    tenant, execution = await create(database, "acme", SPEC)
    fence = await leases.acquire(database, tenant.id, cluster_id="here", actor_id="a")
    assert fence is not None
    owned = OwnedTenant(database, tenant.id, fence, owner="test")
    await owned.promote(execution.id)
    await owned.running(execution.id, None)
    bench = Bench(database, owned, ExecutionInput.of(execution))
    yield bench
    await bench.workflow.close()


async def test_the_steps_run_in_order_once(bench: Bench) -> None:
    assert not (await bench.workflow.start(bench.request)).already
    assert (await bench.workflow.start(bench.request)).already
    assert (await bench.end()).sub_state is SubState.SUCCEEDED
    assert bench.script.calls == [
        StepName.PLAN,
        StepName.APPLY_COMPUTE,
        StepName.WAIT_HEALTHY,
        StepName.RETIRE_PREVIOUS,
    ]


async def test_20_concurrent_starts_are_one_execution(bench: Bench) -> None:
    answers = await asyncio.gather(*(bench.workflow.start(bench.request) for _ in range(20)))
    assert sorted(answer.already for answer in answers) == [False] + [True] * 19
    await bench.end()
    assert len(bench.script.calls) == 4


async def test_a_retryable_step_is_tried_again_with_its_error_visible(bench: Bench) -> None:
    bench.script.errors[StepName.APPLY_COMPUTE] = [Retryable("no such image: x:1"), Retryable("no such image: x:1")]
    bench.revive(Backoff(base=0.2, ceiling=0.2))
    await bench.workflow.start(bench.request)
    seen = await bench.until(lambda status: status.sub_state is SubState.BACKING_OFF)
    assert (seen.retry_count, seen.error) == (1, "no such image: x:1")
    assert seen.next_attempt_at is not None
    assert (await bench.until(lambda status: status.retry_count == 2)).error == "no such image: x:1"
    assert (await bench.end()).sub_state is SubState.SUCCEEDED
    assert await bench.step(StepName.APPLY_COMPUTE) == (StepState.SUCCEEDED, 3)


async def test_attempts_are_bounded(bench: Bench) -> None:
    bench.script.errors[StepName.APPLY_COMPUTE] = [Retryable(f"no {n}") for n in range(9)]
    await bench.workflow.start(bench.request)
    assert await bench.end() == ExecutionStatus(SubState.FAILED, 2, "no 2")
    assert bench.script.calls.count(StepName.APPLY_COMPUTE) == 3


async def test_the_next_owner_makes_no_attempt_beyond_the_bound(bench: Bench) -> None:
    """The first one died after the last attempt, before it could end the execution."""
    bench.script.errors[StepName.PLAN] = [Retryable(f"no {n}") for n in range(9)]
    await bench.workflow.start(bench.request)
    ended = await bench.end()
    await bench.workflow.close()
    bench.revive()
    await bench.workflow.start(bench.request)
    assert await bench.end() == ended
    assert len(bench.script.calls) == 3


async def test_a_terminal_error_ends_it_at_once(bench: Bench) -> None:
    bench.script.errors[StepName.PLAN] = [Terminal("this can never work")]
    await bench.workflow.start(bench.request)
    assert await bench.end() == ExecutionStatus(SubState.FAILED, 0, "this can never work")
    assert bench.script.calls == [StepName.PLAN]


async def test_an_unexpected_error_tells_its_type_and_no_text(bench: Bench) -> None:
    bench.script.errors[StepName.PLAN] = [ValueError("password=hunter2")] * 3
    await bench.workflow.start(bench.request)
    assert (await bench.end()).error == "unexpected: ValueError"


async def test_the_next_owner_resumes_at_the_first_unfinished_step_and_counts_no_attempt(bench: Bench) -> None:
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    reached = asyncio.Event()

    def hold(step: StepName) -> asyncio.Future[None] | None:
        if step is not StepName.APPLY_COMPUTE:
            return None
        reached.set()
        return never

    bench.script.before = hold
    await bench.workflow.start(bench.request)
    await reached.wait()
    never.cancel()  # the owner dies in the middle of the step
    dead, bench.script.before = bench.workflow, lambda step: None
    bench.script.calls.clear()
    bench.revive()
    assert (await bench.workflow.status(bench.request.execution_id, None)).sub_state is SubState.UNKNOWN
    await bench.workflow.start(bench.request)
    assert (await bench.end()).sub_state is SubState.SUCCEEDED
    assert bench.script.calls == [StepName.APPLY_COMPUTE, StepName.WAIT_HEALTHY, StepName.RETIRE_PREVIOUS]
    assert await bench.step(StepName.APPLY_COMPUTE) == (StepState.SUCCEEDED, 1)
    await dead.close()


async def test_a_stop_ends_a_backoff_at_once(bench: Bench) -> None:
    bench.script.errors[StepName.APPLY_COMPUTE] = [Retryable("away", delay=3600)]
    await bench.workflow.start(bench.request)
    await bench.until(lambda status: status.sub_state is SubState.BACKING_OFF)
    await bench.owned.stop(bench.request.execution_id, StopCause.SUPERSEDED, "Configuration updated")
    await bench.workflow.cancel(bench.request.execution_id, None, "Configuration updated")
    assert (await bench.end()).sub_state is SubState.CANCELLED
    assert bench.script.calls[-1] is StepName.APPLY_COMPUTE


async def test_no_step_begins_once_the_gate_is_closed(bench: Bench) -> None:
    await bench.owned.stop(bench.request.execution_id, StopCause.SUPERSEDED, "Deletion requested")
    await bench.workflow.start(bench.request)
    assert (await bench.end()).sub_state is SubState.CANCELLED
    assert bench.script.calls == []


async def test_a_step_that_is_told_it_is_overtaken_ends_as_cancelled(bench: Bench) -> None:
    bench.script.errors[StepName.WAIT_HEALTHY] = [NotCurrent("overtaken")]
    await bench.workflow.start(bench.request)
    assert (await bench.end()).sub_state is SubState.CANCELLED


async def test_ten_owners_without_progress_are_a_crash_loop(bench: Bench) -> None:
    for _ in range(CRASH_LOOP_ACTIVATIONS):
        await bench.store.activated(bench.request.execution_id)
    await bench.workflow.start(bench.request)
    ended = await bench.end()
    assert ended.sub_state is SubState.FAILED
    assert ended.error is not None
    assert ended.error.startswith("CrashLoop")
    assert bench.script.calls == []


async def test_rows_that_do_not_answer_are_no_death_of_an_owner(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of the first step cannot be written, more often than owners may die; then the database is back."""
    monkeypatch.setattr(embedded, "STORE_PAUSE", 0.01)
    succeeded, failures = bench.store.step_succeeded, CRASH_LOOP_ACTIVATIONS + 2

    async def refused(execution_id: str, step: StepName) -> None:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise DBAPIError("COMMIT", None, OSError())
        await succeeded(execution_id, step)

    monkeypatch.setattr(bench.store, "step_succeeded", refused)
    await bench.workflow.start(bench.request)
    assert (await bench.end()).sub_state is SubState.SUCCEEDED
    assert await bench.step(StepName.PLAN) == (StepState.SUCCEEDED, 1)


async def test_closing_leaves_an_effect_that_does_not_return(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "CLOSE_SECONDS", 0.1)
    hangs: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    bench.script.before = lambda step: hangs if step is StepName.APPLY_COMPUTE else None
    await bench.workflow.start(bench.request)
    await bench.until(lambda status: status.step is StepName.APPLY_COMPUTE)
    await asyncio.wait_for(bench.workflow.close(), 10)
    hangs.set_result(None)
    assert (await bench.end()).sub_state is SubState.CANCELLED, "it was asked to stop all the same"
