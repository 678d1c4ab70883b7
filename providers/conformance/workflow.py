"""The contract of every workflow engine, as tests over the port; run them against the real engine.

    class TestMine(WorkflowConformance):
        @pytest_asyncio.fixture
        async def provider(self, bench): ...

Add the other fixtures that `WorkflowConformance` names. Needs pytest and pytest-asyncio. The engine runs scripted steps
on rows in memory (`workflow_bench`). These tests show how an engine handles steps; other tests show the real steps.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from uuid import uuid4

import pytest

from controlplane.errors import NotAvailableYet, Retryable, Terminal, Unavailable, WaitsFor
from controlplane.model import STEPS, Action, ExecutionState, StepName, SubState, TriggerSource
from controlplane.ports import WorkflowProvider
from providers.conformance.workflow_bench import MAX_ATTEMPTS, Bench, end, until

PROVISION = list(STEPS[Action.PROVISION])
LONG_AWAY = [Unavailable("the platform is away", delay=3600)] * 50
"""For a step that fails until its execution is stopped, however slow the machine."""
CountAtEngine = Callable[[str], Awaitable[int]]


@pytest.mark.asyncio
class WorkflowConformance:
    """Subclass it, and bring these fixtures. `provider`: a WorkflowProvider that is set up and whose runners make
    `bench.attempts` (or, inside an actor, run `bench.script`). `another`: one more of the same engine, as another
    process would have it. `count_at_engine`: asks the engine how many executions of an id it knows."""

    @pytest.fixture
    def action(self) -> Action:
        return Action.PROVISION

    @pytest.fixture
    def bench(self, action: Action) -> Bench:
        return Bench(action)

    # --- start ---

    async def test_the_steps_run_in_order_once(self, provider: WorkflowProvider, bench: Bench) -> None:
        started = await provider.start(bench.request)
        assert not started.already
        assert started.ref
        ended = await end(provider, bench, started.ref)
        assert (ended.sub_state, ended.retry_count, ended.error) == (SubState.SUCCEEDED, 0, None)
        assert bench.script.calls == PROVISION

    @pytest.mark.parametrize("action", [Action.DELETE])
    async def test_a_delete_has_its_own_steps(self, provider: WorkflowProvider, bench: Bench) -> None:
        started = await provider.start(bench.request)
        assert (await end(provider, bench, started.ref)).sub_state is SubState.SUCCEEDED
        assert bench.script.calls == list(STEPS[Action.DELETE])

    async def test_20_concurrent_starts_from_two_sources_are_one(
        self,
        provider: WorkflowProvider,
        another: WorkflowProvider,
        bench: Bench,
        count_at_engine: CountAtEngine,
    ) -> None:
        later = replace(bench.request, trigger_source=TriggerSource.SUPERVISOR)
        answers = await asyncio.gather(
            *(one.start(request) for one, request in ((provider, bench.request), (another, later)) for _ in range(10))
        )
        assert [answer.already for answer in answers].count(False) == 1
        assert len({answer.ref for answer in answers}) == 1
        assert (await end(provider, bench, answers[0].ref)).sub_state is SubState.SUCCEEDED
        assert await count_at_engine(bench.id) == 1
        assert bench.script.calls == PROVISION

    async def test_one_that_has_ended_is_not_started_again(
        self, provider: WorkflowProvider, bench: Bench, count_at_engine: CountAtEngine
    ) -> None:
        started = await provider.start(bench.request)
        await end(provider, bench, started.ref)
        again = await provider.start(replace(bench.request, trigger_source=TriggerSource.SUPERVISOR))
        assert (again.already, again.ref) == (True, started.ref)
        assert (await provider.status(bench.id, again.ref)).sub_state is SubState.SUCCEEDED
        assert await count_at_engine(bench.id) == 1
        assert bench.script.calls == PROVISION

    # --- retries ---

    async def test_a_retryable_step_backs_off_in_sight(self, provider: WorkflowProvider, bench: Bench) -> None:
        bench.script.errors[StepName.APPLY_COMPUTE] = [Retryable("no such image: x:1", delay=1.0)] * 2
        started = await provider.start(bench.request)
        first = await until(provider, bench, started.ref, lambda s: s.sub_state is SubState.BACKING_OFF)
        assert (first.retry_count, first.error) == (1, "no such image: x:1")
        assert first.next_attempt_at is not None
        second = await until(
            provider, bench, started.ref, lambda s: s.sub_state is SubState.BACKING_OFF and s.retry_count == 2
        )
        assert second.error == "no such image: x:1"
        assert (await end(provider, bench, started.ref)).sub_state is SubState.SUCCEEDED
        assert bench.script.calls.count(StepName.APPLY_COMPUTE) == 3

    async def test_attempts_are_bounded(self, provider: WorkflowProvider, bench: Bench) -> None:
        bench.script.errors[StepName.APPLY_COMPUTE] = [Retryable(f"no {n}") for n in range(1, 9)]
        started = await provider.start(bench.request)
        ended = await end(provider, bench, started.ref)
        assert (ended.sub_state, ended.error) == (SubState.FAILED, f"no {MAX_ATTEMPTS}"), ended
        assert bench.script.calls.count(StepName.APPLY_COMPUTE) == MAX_ATTEMPTS

    async def test_what_is_not_there_yet_is_waited_for_beyond_the_bound(
        self, provider: WorkflowProvider, bench: Bench
    ) -> None:
        """It is no verdict on the spec. The engine's own bound of attempts, if it has one, does not end it either."""
        away = [Unavailable("the platform is away", delay=0.1) for _ in range(MAX_ATTEMPTS)]
        bench.script.errors[StepName.APPLY_COMPUTE] = [*away]
        started = await provider.start(bench.request)
        seen = await until(provider, bench, started.ref, lambda s: s.sub_state is SubState.BACKING_OFF)
        assert seen.error == "the platform is away"
        ended = await end(provider, bench, started.ref)
        assert ended.sub_state is SubState.SUCCEEDED, ended
        assert bench.script.calls.count(StepName.APPLY_COMPUTE) == MAX_ATTEMPTS + 1
        (step,) = (one for one in (await bench.store.context(bench.id)).steps if one.name is StepName.APPLY_COMPUTE)
        assert (step.attempts, step.waits, step.waits_for) == (1, MAX_ATTEMPTS, None)

    async def test_a_cancel_ends_a_wait(self, provider: WorkflowProvider, bench: Bench) -> None:
        missing = NotAvailableYet("there is no secret", delay=3600, waits_for=WaitsFor.SECRET_MISSING)
        bench.script.errors[StepName.APPLY_COMPUTE] = [missing]
        started = await provider.start(bench.request)
        await until(provider, bench, started.ref, lambda s: s.sub_state is SubState.BACKING_OFF)
        bench.store.state = ExecutionState.STOPPING
        await provider.cancel(bench.id, started.ref, "Configuration updated")
        assert (await end(provider, bench, started.ref)).sub_state is SubState.CANCELLED
        assert bench.script.calls == [StepName.PLAN, StepName.APPLY_COMPUTE]

    async def test_a_terminal_error_ends_it_at_once(self, provider: WorkflowProvider, bench: Bench) -> None:
        bench.script.errors[StepName.PLAN] = [Terminal("this can never work")]
        started = await provider.start(bench.request)
        ended = await end(provider, bench, started.ref)
        assert (ended.sub_state, ended.error) == (SubState.FAILED, "this can never work")
        assert bench.script.calls == [StepName.PLAN]

    async def test_an_unexpected_error_tells_its_type_and_no_text(
        self, provider: WorkflowProvider, bench: Bench
    ) -> None:
        bench.script.errors[StepName.PLAN] = [ValueError("password=hunter2")] * MAX_ATTEMPTS
        started = await provider.start(bench.request)
        assert (await end(provider, bench, started.ref)).error == "unexpected: ValueError"
        assert "hunter2" not in str(await bench.store.context(bench.id))

    async def test_a_failing_probe_counts_as_backing_off(self, provider: WorkflowProvider, bench: Bench) -> None:
        well = asyncio.Event()
        bench.script.probes = lambda look: None if well.is_set() else "GET / is 500"
        started = await provider.start(bench.request)
        seen = await until(provider, bench, started.ref, lambda s: s.sub_state is SubState.BACKING_OFF)
        assert seen.error == "GET / is 500"
        well.set()
        assert (await end(provider, bench, started.ref)).sub_state is SubState.SUCCEEDED
        assert bench.script.calls == PROVISION

    # --- stopping ---

    async def test_a_cancel_ends_a_backoff(self, provider: WorkflowProvider, bench: Bench) -> None:
        # An engine with pauses of its own tries again, and may do so before it is looked at.
        bench.script.errors[StepName.APPLY_COMPUTE] = [Retryable("away", delay=3600), *LONG_AWAY]
        started = await provider.start(bench.request)
        await until(provider, bench, started.ref, lambda s: s.sub_state is SubState.BACKING_OFF)
        bench.store.state = ExecutionState.STOPPING
        await provider.cancel(bench.id, started.ref, "Deletion requested")
        assert (await end(provider, bench, started.ref)).sub_state is SubState.CANCELLED
        assert set(bench.script.calls) == {StepName.PLAN, StepName.APPLY_COMPUTE}

    async def test_a_cancel_ends_the_probing(self, provider: WorkflowProvider, bench: Bench) -> None:
        bench.script.probes = lambda look: "GET / is 500"
        started = await provider.start(bench.request)
        await until(provider, bench, started.ref, lambda s: s.sub_state is SubState.BACKING_OFF)
        bench.store.state = ExecutionState.STOPPING
        await provider.cancel(bench.id, started.ref, "Configuration updated")
        assert (await end(provider, bench, started.ref)).sub_state is SubState.CANCELLED

    async def test_after_a_stop_in_a_slow_step_no_other_begins(self, provider: WorkflowProvider, bench: Bench) -> None:
        hold = bench.script.holds[StepName.APPLY_COMPUTE] = asyncio.Event()
        started = await provider.start(bench.request)
        await bench.script.reached[StepName.APPLY_COMPUTE].wait()
        bench.store.state = ExecutionState.STOPPING
        await provider.cancel(bench.id, started.ref, "Deletion requested")
        hold.set()
        assert (await end(provider, bench, started.ref)).sub_state is SubState.CANCELLED
        assert bench.script.calls == [StepName.PLAN, StepName.APPLY_COMPUTE]

    async def test_the_gate_alone_stops_it(self, provider: WorkflowProvider, bench: Bench) -> None:
        hold = bench.script.holds[StepName.APPLY_COMPUTE] = asyncio.Event()
        started = await provider.start(bench.request)
        await bench.script.reached[StepName.APPLY_COMPUTE].wait()
        bench.store.state = ExecutionState.SUPERSEDED
        hold.set()
        assert (await end(provider, bench, started.ref)).sub_state is SubState.CANCELLED
        assert bench.script.calls == [StepName.PLAN, StepName.APPLY_COMPUTE]

    async def test_what_is_unknown_or_over_is_cancelled_already(self, provider: WorkflowProvider, bench: Bench) -> None:
        unknown = f"tenant-nobody-provision-1-{uuid4().hex[:8]}"
        await provider.cancel(unknown, None, "")
        await provider.cancel(unknown, None, "", kill=True)
        assert (await provider.status(unknown, None)).sub_state is SubState.UNKNOWN
        started = await provider.start(bench.request)
        await end(provider, bench, started.ref)
        await provider.cancel(bench.id, started.ref, "", kill=True)
        assert (await provider.status(bench.id, started.ref)).sub_state is SubState.SUCCEEDED

    # --- the rest of the port ---

    async def test_status_needs_no_ref(
        self, provider: WorkflowProvider, another: WorkflowProvider, bench: Bench
    ) -> None:
        """The next owner of one that died between the start and its record knows only the id."""
        await provider.start(bench.request)
        assert (await end(provider, bench, None)).sub_state is SubState.SUCCEEDED

    async def test_setup_may_be_repeated(self, provider: WorkflowProvider, bench: Bench) -> None:
        await provider.setup()
        started = await provider.start(bench.request)
        await provider.setup()
        assert (await end(provider, bench, started.ref)).sub_state is SubState.SUCCEEDED

    async def test_it_says_what_it_is_built_from(self, provider: WorkflowProvider) -> None:
        schema = provider.config_schema()
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert schema["type"] == "object"

    async def test_it_says_that_it_is_healthy(self, provider: WorkflowProvider) -> None:
        assert (await provider.health()).healthy
