"""Restate, our endpoint or the rows go away in the middle of an execution, and come back."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import count

import pytest
import pytest_asyncio
import restate

from controlplane.errors import Retryable, Unavailable
from controlplane.model import Action, ExecutionState, Status, Step, StepName, SubState
from controlplane.steps.backoff import Backoff
from providers.conformance.workflow import PROVISION
from providers.conformance.workflow_bench import Bench, end, until
from providers.workflow.restate import app as restate_app
from providers.workflow.restate.app import build_app
from providers.workflow.restate.provider import RestateWorkflow
from tests.contract.lifecycle import EngineWorld, Outside
from tests.contract.restate.bench import TWICE, Endpoint, query, restate_at
from tests.restate import RestateServer


class TestDeath:
    async def test_of_the_server_in_the_middle_of_a_provision(
        self, mortal_server: RestateServer, endpoint: Endpoint, bench: Bench
    ) -> None:
        provider = restate_at(mortal_server, endpoint)
        await provider.setup()
        hold = bench.script.holds[StepName.APPLY_COMPUTE] = asyncio.Event()
        started = await provider.start(bench.request)
        await bench.script.reached[StepName.APPLY_COMPUTE].wait()
        mortal_server.kill()
        with pytest.raises(Unavailable):
            await provider.status(bench.id, started.ref)
        assert not (await provider.health()).healthy
        hold.set()
        mortal_server.start()
        again = await provider.start(bench.request)
        assert (again.already, again.ref) == (True, started.ref)
        assert (await end(provider, bench, started.ref)).sub_state is SubState.SUCCEEDED
        assert list(dict.fromkeys(bench.script.calls)) == PROVISION
        assert bench.script.calls.count(StepName.PLAN) == 1
        await provider.close()

    async def test_of_the_server_before_a_start(
        self, mortal_server: RestateServer, endpoint: Endpoint, bench: Bench
    ) -> None:
        """It comes back, and the same id is started by who comes next; nobody has registered anything with it."""
        provider = restate_at(mortal_server, endpoint)
        mortal_server.kill()
        with pytest.raises(Unavailable):
            await provider.start(bench.request)
        mortal_server.start()
        started = await provider.start(bench.request)
        assert not started.already
        assert (await end(provider, bench, started.ref)).sub_state is SubState.SUCCEEDED
        await provider.close()

    async def test_of_the_endpoint_is_seen_and_survived(
        self, provider: RestateWorkflow, endpoint: Endpoint, bench: Bench
    ) -> None:
        await endpoint.stop()
        started = await provider.start(bench.request)
        seen = await until(provider, bench, started.ref, lambda s: s.sub_state is SubState.BACKING_OFF)
        assert seen.error
        await endpoint.start()
        assert (await end(provider, bench, started.ref)).sub_state is SubState.SUCCEEDED
        assert bench.script.calls == PROVISION


class TestThatPauses(Outside):
    """An engine that has called us so often that it gave up."""

    @pytest.fixture
    def calls(self) -> restate.InvocationRetryPolicy:
        return TWICE

    async def test_the_execution_is_killed_and_failed(
        self, world: EngineWorld, served: list[Endpoint], mortal_server: RestateServer
    ) -> None:
        world.platform.may_create.clear()
        tenant = await world.create(world.spec("1"))
        async with world.owned(tenant):
            await asyncio.wait_for(world.platform.creating.wait(), 30)
            await served[0].stop()
            view = await world.settled(tenant, Status.FAILED)
            assert view.execution.state is ExecutionState.FAILED
            assert view.execution.stop_reason
            (row,) = await query(mortal_server, "SELECT status FROM sys_invocation")
            assert row["status"] == "completed", "it is not left paused"
            world.platform.may_create.set()
            await world.until(tenant, lambda v: not world.cloud.instances())
        await served[0].start()


class TestPaused:
    @pytest_asyncio.fixture
    async def endpoint(self, bench: Bench) -> AsyncIterator[Endpoint]:
        endpoint = Endpoint(build_app(bench.attempts, calls=TWICE))
        await endpoint.start()
        yield endpoint
        await endpoint.stop()

    async def test_an_engine_that_gave_up_is_an_error_and_a_cancel_kills_it(
        self, provider: RestateWorkflow, endpoint: Endpoint, bench: Bench
    ) -> None:
        await endpoint.stop()
        started = await provider.start(bench.request)
        seen = await until(provider, bench, started.ref, lambda s: s.sub_state is SubState.ERROR)
        assert seen.error
        await provider.cancel(bench.id, started.ref, "the engine gave up")
        assert (await end(provider, bench, started.ref)).sub_state in (SubState.CANCELLED, SubState.FAILED)
        assert bench.script.calls == []
        await endpoint.start()


async def test_a_redeploy_while_a_tenant_starts_waits_for_nothing(
    provider: RestateWorkflow, endpoint: Endpoint, bench: Bench, restate_server: RestateServer
) -> None:
    """Between two looks the engine sleeps and no request is open; what was counted is kept."""
    well = asyncio.Event()
    bench.script.probes = lambda look: None if well.is_set() else "GET / is 500"
    started = await provider.start(bench.request)
    await until(provider, bench, started.ref, lambda s: s.sub_state is SubState.BACKING_OFF)
    await becomes_suspended(restate_server, started.ref)
    await endpoint.stop()
    well.set()
    await endpoint.start()
    assert (await end(provider, bench, started.ref)).sub_state is SubState.SUCCEEDED
    assert bench.script.calls == PROVISION, "the step did not begin anew"
    journal = await query(restate_server, f"SELECT entry_type FROM sys_journal WHERE id = '{started.ref}'")
    assert any("Sleep" in entry["entry_type"] for entry in journal)


async def becomes_suspended(server: RestateServer, invocation: str) -> None:
    sql = f"SELECT status FROM sys_invocation WHERE id = '{invocation}'"
    give_up = time.monotonic() + 30
    while (await query(server, sql))[0]["status"] != "suspended":
        assert time.monotonic() < give_up
        await asyncio.sleep(0.01)


class TestNothingButTheRowsCounts:
    """The server's own bound, here of two, is for an endpoint that does not answer."""

    @pytest_asyncio.fixture
    async def endpoint(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Endpoint]:
        monkeypatch.setattr(restate_app, "ROWS_PAUSE", timedelta(milliseconds=10))
        endpoint = Endpoint(build_app(bench.attempts, calls=TWICE))
        await endpoint.start()
        yield endpoint
        await endpoint.stop()

    async def test_rows_that_cannot_be_read_are_waited_for(
        self, provider: RestateWorkflow, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        refusals = count(1)
        readable, started_of = asyncio.Event(), bench.store.step_started

        async def unreadable(execution_id: str, step: StepName) -> Step | None:
            if not readable.is_set():
                next(refusals)
                raise OSError("password=hunter2")
            return await started_of(execution_id, step)

        monkeypatch.setattr(bench.store, "step_started", unreadable)
        started = await provider.start(bench.request)
        seen = await until(
            provider, bench, started.ref, lambda s: s.sub_state is SubState.BACKING_OFF and s.retry_count > 55
        )
        assert seen.error == "the rows cannot be read: OSError"
        readable.set()
        assert (await end(provider, bench, started.ref)).sub_state is SubState.SUCCEEDED
        assert next(refusals) > 50

    @pytest.mark.parametrize("action", [Action.UPDATE])
    async def test_the_replaced_resource_is_removed_however_often_that_fails(
        self, provider: RestateWorkflow, bench: Bench
    ) -> None:
        bench.attempts._log._backoff = Backoff(base=0.01, ceiling=0.01)
        bench.script.errors[StepName.RETIRE_PREVIOUS] = [Retryable("the old platform is away")] * 60
        started = await provider.start(bench.request)
        assert (await end(provider, bench, started.ref)).sub_state is SubState.SUCCEEDED
        assert bench.script.calls.count(StepName.RETIRE_PREVIOUS) == 61
