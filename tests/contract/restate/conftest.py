"""Restate as its tests have it: the real server, or one that a test may kill, and our endpoint over real HTTP."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import restate

from controlplane.model import Action
from controlplane.ports import ExecutionStore
from controlplane.steps.attempts import StepAttempts
from providers.conformance.workflow_bench import Bench
from providers.workflow.restate.app import CALLS, build_app
from providers.workflow.restate.provider import RestateWorkflow
from tests.contract.lifecycle import EngineOf, ProviderFactory
from tests.contract.restate.bench import Endpoint, restate_at
from tests.restate import RestateServer


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


@pytest.fixture
def mortal_server(restate_program: Path, tmp_path: Path) -> Iterator[RestateServer]:
    """One that a test may kill."""
    server = RestateServer(restate_program, tmp_path)
    server.start()
    yield server
    server.kill()


@pytest_asyncio.fixture
async def served() -> AsyncIterator[list[Endpoint]]:
    """What tests serve; stopped at the end."""
    endpoints: list[Endpoint] = []
    yield endpoints
    for endpoint in endpoints:
        await endpoint.stop()


@pytest.fixture
def calls() -> restate.InvocationRetryPolicy:
    """How often the engine calls an endpoint that does not answer."""
    return CALLS


@pytest.fixture
def engine_of(mortal_server: RestateServer, served: list[Endpoint], calls: restate.InvocationRetryPolicy) -> EngineOf:
    async def set_up(attempts: StepAttempts, store: ExecutionStore) -> ProviderFactory:
        endpoint = Endpoint(build_app(attempts, calls=calls))
        served.append(endpoint)
        await endpoint.start()
        return lambda: restate_at(mortal_server, endpoint)

    return set_up
