"""Restate against the workflow contract, and a tenant's life on it."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from uuid import uuid4

import pytest
import pytest_asyncio

from controlplane.model import ExecutionState, Status, StepName, SubState, canonical_json
from providers.conformance.workflow import CountAtEngine, WorkflowConformance
from providers.conformance.workflow_bench import Bench, end
from providers.workflow.restate.provider import RestateWorkflow
from tests.contract.lifecycle import EngineWorld, LifeOutside
from tests.contract.restate.bench import Endpoint, count_invocations, query, restate_at
from tests.restate import RestateServer


class TestRestateConforms(WorkflowConformance):
    @pytest_asyncio.fixture
    async def another(self, restate_server: RestateServer, endpoint: Endpoint) -> AsyncIterator[RestateWorkflow]:
        provider = restate_at(restate_server, endpoint)
        yield provider
        await provider.close()

    @pytest.fixture
    def count_at_engine(self, restate_server: RestateServer) -> CountAtEngine:
        return partial(count_invocations, restate_server)


class TestLifeOnRestate(LifeOutside):
    @pytest.fixture
    def count_at_engine(self, mortal_server: RestateServer) -> CountAtEngine:
        return partial(count_invocations, mortal_server)

    async def test_the_server_killed_in_the_middle_of_a_provision(
        self, world: EngineWorld, mortal_server: RestateServer
    ) -> None:
        world.platform.may_create.clear()
        tenant = await world.create(world.spec("1"))
        async with world.owned(tenant):
            await asyncio.wait_for(world.platform.creating.wait(), 30)
            mortal_server.kill()
            world.platform.may_create.set()
            mortal_server.start()
            await world.settled(tenant, Status.READY, 1)
        assert await world.instances() == [(1, 1, "running")]
        assert await world.states(tenant) == ["succeeded"]

    async def test_the_server_down_at_the_start_is_triggered_again(
        self, world: EngineWorld, mortal_server: RestateServer
    ) -> None:
        mortal_server.kill()
        tenant = await world.create(world.spec("1"))
        async with world.owned(tenant):
            view = await world.until(tenant, lambda v: v.execution.error is not None)
            assert view.execution.state is ExecutionState.STARTING
            mortal_server.start()
            await world.settled(tenant, Status.READY, 1)
        assert await world.states(tenant) == ["succeeded"]


async def test_a_kill_does_not_wait_for_a_step(provider: RestateWorkflow, bench: Bench) -> None:
    hold = bench.script.holds[StepName.APPLY_COMPUTE] = asyncio.Event()
    started = await provider.start(bench.request)
    await bench.script.reached[StepName.APPLY_COMPUTE].wait()
    await provider.cancel(bench.id, started.ref, "not stopped after 30 s", kill=True)
    assert (await end(provider, bench, started.ref)).sub_state in (SubState.CANCELLED, SubState.FAILED)
    hold.set()
    assert bench.script.calls == [StepName.PLAN, StepName.APPLY_COMPUTE]


async def test_its_input_is_the_order(provider: RestateWorkflow, bench: Bench, restate_server: RestateServer) -> None:
    started = await provider.start(bench.request)
    await end(provider, bench, started.ref)
    sql = f"SELECT entry_json FROM sys_journal WHERE id = '{started.ref}' AND index = 0"
    (entry,) = await query(restate_server, sql)
    payload = bytes(json.loads(entry["entry_json"])["Command"]["Input"]["payload"])
    assert payload.decode() == canonical_json(bench.request.to_json())
    assert json.loads(payload)["trigger_source"] == "api"


async def test_an_execution_that_no_row_knows_ends(provider: RestateWorkflow, bench: Bench) -> None:
    stranger = replace(bench.request, execution_id=f"tenant-nobody-provision-1-{uuid4().hex[:8]}")
    started = await provider.start(stranger)
    status = await provider.status(stranger.execution_id, started.ref)
    while not status.sub_state.terminal:
        status = await provider.next_status(stranger.execution_id, started.ref, status)
    assert (status.sub_state, "there is no execution" in (status.error or "")) == (SubState.FAILED, True)
