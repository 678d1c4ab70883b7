"""Restate against the workflow contract: the real server, our endpoint over real HTTP."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import nullcontext
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import restate
import uvicorn
from restate.server_types import RestateAppT

from controlplane.attempts import Attempts
from controlplane.clock import SystemClock
from controlplane.errors import EngineUnavailable
from controlplane.model import Action, ExecutionState, Status, StepName, SubState
from controlplane.ports import ExecutionStore
from providers.conformance.workflow import PROVISION, CountAtEngine, WorkflowConformance
from providers.conformance.workflow_bench import Bench, end, until
from providers.workflow.restate import RestateWorkflow
from providers.workflow.restate_app import build_app
from tests.contract.lifecycle import EngineOf, EngineWorld, LifeOutside, ProviderFactory
from tests.restate import RestateServer


class Endpoint:
    """Our endpoint on a port of its own; it can go away and come back there."""

    def __init__(self, app: RestateAppT) -> None:
        self._app = app
        self._listener: socket.socket | None = None
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def start(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        config = uvicorn.Config(self._app, lifespan="off", log_config=None, timeout_graceful_shutdown=1)  # type: ignore[arg-type]
        self._server = uvicorn.Server(config)
        # Only the main program may take signals.
        self._server.capture_signals = nullcontext  # type: ignore[method-assign]
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._listener]))

    async def stop(self) -> None:
        assert self._server is not None
        assert self._serving is not None
        assert self._listener is not None
        self._server.should_exit = True
        await self._serving
        self._listener.close()


def restate_at(server: RestateServer, endpoint: Endpoint) -> RestateWorkflow:
    return RestateWorkflow(server.ingress, server.admin, endpoint.url, SystemClock())


async def count_invocations(server: RestateServer, execution_id: str) -> int:
    return len(await query(server, f"SELECT id FROM sys_invocation WHERE target_service_key = '{execution_id}'"))


async def query(server: RestateServer, sql: str) -> list[dict[str, Any]]:
    """The test's own eyes."""
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"{server.admin}/query", json={"query": sql}, headers={"Accept": "application/json"})
    rows: list[dict[str, Any]] = answer.json()["rows"]
    return rows


@pytest.fixture
def action() -> Action:
    return Action.PROVISION


@pytest.fixture
def bench(action: Action) -> Bench:
    return Bench(action)


@pytest_asyncio.fixture
async def endpoint(bench: Bench) -> AsyncIterator[Endpoint]:
    endpoint = Endpoint(build_app(bench.attempts))
    await endpoint.start()
    yield endpoint
    await endpoint.stop()


@pytest_asyncio.fixture
async def provider(restate_server: RestateServer, endpoint: Endpoint) -> AsyncIterator[RestateWorkflow]:
    provider = restate_at(restate_server, endpoint)
    await provider.setup()
    yield provider
    await provider.close()


class TestRestateConforms(WorkflowConformance):
    @pytest_asyncio.fixture
    async def another(self, restate_server: RestateServer, endpoint: Endpoint) -> AsyncIterator[RestateWorkflow]:
        provider = restate_at(restate_server, endpoint)
        yield provider
        await provider.close()

    @pytest.fixture
    def count_at_engine(self, restate_server: RestateServer) -> CountAtEngine:
        return partial(count_invocations, restate_server)


@pytest.fixture
def mortal_server(restate_program: Path, tmp_path: Path) -> Iterator[RestateServer]:
    """One that a test may kill."""
    server = RestateServer(restate_program, tmp_path)
    server.start()
    yield server
    server.kill()


class TestLifeOnRestate(LifeOutside):
    @pytest.fixture
    def count_at_engine(self, mortal_server: RestateServer) -> CountAtEngine:
        return partial(count_invocations, mortal_server)

    @pytest_asyncio.fixture
    async def engine_of(self, mortal_server: RestateServer) -> AsyncIterator[EngineOf]:
        serving: list[Endpoint] = []

        async def set_up(attempts: Attempts, store: ExecutionStore) -> ProviderFactory:
            endpoint = Endpoint(build_app(attempts))
            serving.append(endpoint)
            await endpoint.start()
            return lambda: restate_at(mortal_server, endpoint)

        yield set_up
        await serving[0].stop()

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


class TestDeath:
    async def test_of_the_server_in_the_middle_of_a_provision(
        self, mortal_server: RestateServer, endpoint: Endpoint, bench: Bench
    ) -> None:
        provider = restate_at(mortal_server, endpoint)
        await provider.setup()
        hold = bench.script.holds[StepName.APPLY_COMPUTE] = asyncio.Event()
        started = await provider.start(bench.order)
        await bench.script.reached[StepName.APPLY_COMPUTE].wait()
        mortal_server.kill()
        with pytest.raises(EngineUnavailable):
            await provider.status(bench.id, started.ref)
        assert not (await provider.health()).healthy
        hold.set()
        mortal_server.start()
        again = await provider.start(bench.order)
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
        with pytest.raises(EngineUnavailable):
            await provider.start(bench.order)
        mortal_server.start()
        started = await provider.start(bench.order)
        assert not started.already
        assert (await end(provider, bench, started.ref)).sub_state is SubState.SUCCEEDED
        await provider.close()

    async def test_of_the_endpoint_is_seen_and_survived(
        self, provider: RestateWorkflow, endpoint: Endpoint, bench: Bench
    ) -> None:
        await endpoint.stop()
        started = await provider.start(bench.order)
        seen = await until(provider, bench, started.ref, lambda s: s.sub_state is SubState.BACKING_OFF)
        assert seen.error
        await endpoint.start()
        assert (await end(provider, bench, started.ref)).sub_state is SubState.SUCCEEDED
        assert bench.script.calls == PROVISION


class TestPaused:
    @pytest_asyncio.fixture
    async def endpoint(self, bench: Bench) -> AsyncIterator[Endpoint]:
        """The engine calls it twice, then pauses."""
        calls = restate.InvocationRetryPolicy(
            initial_interval=timedelta(milliseconds=10), max_attempts=2, on_max_attempts="pause"
        )
        endpoint = Endpoint(build_app(bench.attempts, calls=calls))
        await endpoint.start()
        yield endpoint
        await endpoint.stop()

    async def test_an_engine_that_gave_up_is_an_error_and_a_cancel_kills_it(
        self, provider: RestateWorkflow, endpoint: Endpoint, bench: Bench
    ) -> None:
        await endpoint.stop()
        started = await provider.start(bench.order)
        seen = await until(provider, bench, started.ref, lambda s: s.sub_state is SubState.ERROR)
        assert seen.error
        await provider.cancel(bench.id, started.ref, "the engine gave up")
        assert (await end(provider, bench, started.ref)).sub_state in (SubState.CANCELLED, SubState.FAILED)
        assert bench.script.calls == []
        await endpoint.start()


async def test_a_kill_does_not_wait_for_a_step(provider: RestateWorkflow, bench: Bench) -> None:
    hold = bench.script.holds[StepName.APPLY_COMPUTE] = asyncio.Event()
    started = await provider.start(bench.order)
    await bench.script.reached[StepName.APPLY_COMPUTE].wait()
    await provider.cancel(bench.id, started.ref, "not stopped after 30 s", kill=True)
    assert (await end(provider, bench, started.ref)).sub_state in (SubState.CANCELLED, SubState.FAILED)
    hold.set()
    assert bench.script.calls == [StepName.PLAN, StepName.APPLY_COMPUTE]


async def test_an_endpoint_that_is_away_cannot_be_registered(restate_server: RestateServer, endpoint: Endpoint) -> None:
    provider = restate_at(restate_server, endpoint)
    await endpoint.stop()
    with pytest.raises(EngineUnavailable, match=str(endpoint.port)):
        await provider.setup()
    await endpoint.start()
    await provider.setup()
    await provider.close()


async def test_only_the_server_with_the_key_is_answered(bench: Bench) -> None:
    key = "publickeyv1_w7YHemBctH5Ck2nQRQ47iBBqhNHy4FV7t2Usbye2A6f"
    endpoint = Endpoint(build_app(bench.attempts, identity_keys=[key]))
    await endpoint.start()
    async with httpx.AsyncClient(trust_env=False) as stranger:
        for path in ("/discover", "/invoke/landlord/run"):
            assert (await stranger.post(f"{endpoint.url}{path}")).status_code == 401
    await endpoint.stop()
