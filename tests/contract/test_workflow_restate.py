"""Restate against the workflow contract: the real server, our endpoint over real HTTP."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
import restate
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from restate.server_types import RestateAppT
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.runtime import Identity, Runtime
from actors.supervisor.engines import Engines
from controlplane.clock import SystemClock
from controlplane.errors import Retryable, Unavailable
from controlplane.model import (
    Action,
    ClusterState,
    ExecutionState,
    Status,
    Step,
    StepName,
    SubState,
    canonical_json,
)
from controlplane.persistence import bootstrap, clusters, fleet, leases, tables
from controlplane.ports import ExecutionStore, WorkflowProvider
from controlplane.steps.attempts import StepAttempts
from controlplane.steps.backoff import Backoff
from providers.compute.fake import FakeCloud
from providers.conformance.workflow import PROVISION, CountAtEngine, WorkflowConformance
from providers.conformance.workflow_bench import Bench, end, until
from providers.registry import Enabled
from providers.workflow.restate import app as restate_app
from providers.workflow.restate.app import CALLS, build_app
from providers.workflow.restate.provider import RestateWorkflow
from tests.contract.lifecycle import EngineOf, EngineWorld, LifeOutside, Outside, ProviderFactory
from tests.integration.owner import World
from tests.restate import RestateServer

BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


class Endpoint:
    """Our endpoint on a port of its own; it can go away and come back there."""

    def __init__(self, app: RestateAppT) -> None:
        self.app = app
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
        config = uvicorn.Config(self.app, lifespan="off", log_config=None, timeout_graceful_shutdown=1)  # type: ignore[arg-type]
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


TWICE = restate.InvocationRetryPolicy(
    initial_interval=timedelta(milliseconds=10), max_attempts=2, on_max_attempts="pause"
)


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


async def test_an_endpoint_that_is_away_cannot_be_registered(restate_server: RestateServer, endpoint: Endpoint) -> None:
    provider = restate_at(restate_server, endpoint)
    await endpoint.stop()
    with pytest.raises(Unavailable, match=str(endpoint.port)):
        await provider.setup()
    await endpoint.start()
    await provider.setup()
    await provider.close()


async def test_an_endpoint_whose_front_was_just_replaced_is_registered(
    restate_server: RestateServer, bench: Bench, served: list[Endpoint]
) -> None:
    """HAProxy's old process answers on the connections that it has; without the route, as it was."""
    asked: list[str] = []
    app = build_app(bench.attempts)

    async def replaced(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope["path"])
        if len(asked) > 1:
            await app(scope, receive, send)
        else:
            await send({"type": "http.response.start", "status": 404, "headers": [(b"connection", b"close")]})
            await send({"type": "http.response.body", "body": b"no such path"})

    endpoint = Endpoint(replaced)
    served.append(endpoint)
    await endpoint.start()
    provider = restate_at(restate_server, endpoint)
    await provider.setup()
    assert asked == ["/v1/discover"] * 2
    await provider.close()


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


class TestReleases:
    async def test_an_endpoint_that_comes_back_gets_new_executions(
        self, provider: RestateWorkflow, bench: Bench, restate_server: RestateServer, served: list[Endpoint]
    ) -> None:
        """Another was registered since, and is gone: a release was taken back, or a port."""
        served.append(Endpoint(build_app(Bench().attempts)))
        await served[0].start()
        between = restate_at(restate_server, served[0])
        await between.setup()
        await between.close()
        await served[0].stop()
        await provider.setup()
        started = await provider.start(bench.request)
        assert (await end(provider, bench, started.ref)).sub_state is SubState.SUCCEEDED
        await served[0].start()

    async def test_another_journal_goes_beside_the_one_in_flight(
        self, provider: RestateWorkflow, bench: Bench, restate_server: RestateServer, served: list[Endpoint]
    ) -> None:
        hold = bench.script.holds[StepName.APPLY_COMPUTE] = asyncio.Event()
        old = await provider.start(bench.request)
        await bench.script.reached[StepName.APPLY_COMPUTE].wait()
        released = Bench()
        served.append(Endpoint(build_app(released.attempts)))
        await served[0].start()
        newer = restate_at(restate_server, served[0])
        await newer.setup()
        new = await newer.start(released.request)
        assert (await end(newer, released, new.ref)).sub_state is SubState.SUCCEEDED
        hold.set()
        assert (await end(provider, bench, old.ref)).sub_state is SubState.SUCCEEDED
        assert (bench.script.calls, released.script.calls) == (PROVISION, PROVISION), "each on its own endpoint"
        await newer.close()

    async def test_the_same_journal_serves_what_is_in_flight(
        self, provider: RestateWorkflow, endpoint: Endpoint, bench: Bench
    ) -> None:
        """Something else of what the endpoint says of itself has changed."""
        well = asyncio.Event()
        bench.script.probes = lambda look: None if well.is_set() else "GET / is 500"
        started = await provider.start(bench.request)
        await until(provider, bench, started.ref, lambda s: s.sub_state is SubState.BACKING_OFF)
        await endpoint.stop()
        endpoint.app = build_app(bench.attempts, calls=TWICE)
        await endpoint.start()
        await provider.setup()
        well.set()
        assert (await end(provider, bench, started.ref)).sub_state is SubState.SUCCEEDED
        assert bench.script.calls == PROVISION


class TestTwoClusters:
    """On one database and one server, which calls the endpoint that was registered last."""

    @pytest_asyncio.fixture
    async def world(self, database: AsyncEngine, database_url: str, tmp_path: Path) -> AsyncIterator[World]:
        yield World(database, database_url, tmp_path, FakeCloud())

    async def test_the_older_registers_again_once_the_younger_is_silent_or_has_ended(
        self,
        world: World,
        restate_server: RestateServer,
        endpoint: Endpoint,
        served: list[Endpoint],
        bench: Bench,
        database_url: str,
    ) -> None:
        served.append(Endpoint(build_app(Bench().attempts)))
        await served[0].start()
        older, younger = (restate_at(restate_server, one) for one in (endpoint, served[0]))
        a, b = [await bootstrap.prepare(database_url, home=home, build="test", admin_token=None) for home in "AB"]
        async with world.net() as of_a, world.net() as of_b:
            engines = supervising(of_a, a, older)
            others = supervising(of_b, b, younger)
            assert [await engines.look(), await others.look()] == [1, 1]
            assert [await engines.look(), await others.look()] == [0, 0], "they do not take it from each other"
            assert (await older.calls_us(), await younger.calls_us()) == (False, True)

            await served[0].stop()
            await tell(world.database, b, heartbeat_at=leases.from_now(-clusters.CLUSTER_SECONDS - 1))
            assert await engines.look() == 1
            started = await older.start(bench.request)
            assert (await end(older, bench, started.ref)).sub_state is SubState.SUCCEEDED
            assert bench.script.calls == PROVISION

            await served[0].start()
            await fleet.beat(world.database, b, {})
            assert [await others.look(), await engines.look()] == [1, 0], "it is back"
            assert await younger.calls_us()
            await tell(world.database, b, state=ClusterState.ENDED)
            assert [await engines.look(), await engines.look()] == [1, 0]
            assert await older.calls_us()
        await older.close()
        await younger.close()


def supervising(built: Runtime, cluster_id: str, provider: RestateWorkflow) -> Engines:
    """The stage of that cluster's supervisor, with this one engine."""
    workflow: Enabled[WorkflowProvider] = Enabled({provider.name: lambda: provider})
    return Engines(replace(built, workflow=workflow, identity=Identity(cluster_id, "test")))


async def tell(database: AsyncEngine, cluster_id: str, **values: object) -> None:
    """What the rows say of that cluster from now on."""
    async with database.begin() as connection:
        await connection.execute(update(tables.clusters).where(tables.clusters.c.id == cluster_id).values(**values))


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


async def test_an_execution_that_no_row_knows_ends(provider: RestateWorkflow, bench: Bench) -> None:
    stranger = replace(bench.request, execution_id=f"tenant-nobody-provision-1-{uuid4().hex[:8]}")
    started = await provider.start(stranger)
    status = await provider.status(stranger.execution_id, started.ref)
    while not status.sub_state.terminal:
        status = await provider.next_status(stranger.execution_id, started.ref, status)
    assert (status.sub_state, "there is no execution" in (status.error or "")) == (SubState.FAILED, True)


class TestIdentity:
    @pytest.fixture
    def key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.generate()

    @pytest.fixture
    def signing_server(self, restate_program: Path, tmp_path: Path, key: Ed25519PrivateKey) -> Iterator[RestateServer]:
        """One that signs what it sends."""
        pem = tmp_path / "key.pem"
        pem.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        server = RestateServer(restate_program, tmp_path, RESTATE_REQUEST_IDENTITY_PRIVATE_KEY_PEM_FILE=str(pem))
        server.start()
        yield server
        server.kill()

    async def test_of_the_server_whose_key_is_known(
        self, signing_server: RestateServer, key: Ed25519PrivateKey, bench: Bench, served: list[Endpoint]
    ) -> None:
        strange = Ed25519PrivateKey.generate()
        for known in (key, strange):
            served.append(Endpoint(build_app(bench.attempts, identity_keys=[public(known)])))
            await served[-1].start()
        provider, refused = (restate_at(signing_server, endpoint) for endpoint in served)
        with pytest.raises(Unavailable, match="401"):
            await refused.setup()
        await provider.setup()
        started = await provider.start(bench.request)
        assert (await end(provider, bench, started.ref)).sub_state is SubState.SUCCEEDED
        for one in (provider, refused):
            await one.close()

    async def test_that_says_another_action_does_nothing(
        self, signing_server: RestateServer, key: Ed25519PrivateKey, bench: Bench, served: list[Endpoint]
    ) -> None:
        """Whoever may send to the server's ingress, and even the server: steps are those of the row."""
        served.append(Endpoint(build_app(bench.attempts, identity_keys=[public(key)])))
        await served[0].start()
        provider = restate_at(signing_server, served[0])
        await provider.setup()
        lies = [{"action": "delete"}, {"tenant_id": str(uuid4())}, {"execution_id": bench.id + "0"}]
        async with httpx.AsyncClient(base_url=signing_server.ingress, trust_env=False, timeout=30) as ingress:
            for number, lie in enumerate(lies):
                bench = Bench(Action.PROVISION)
                served[0].app = build_app(bench.attempts, identity_keys=[public(key)])
                answer = await ingress.post(f"/landlord/{bench.id}/run", json={**bench.request.to_json(), **lie})
                assert answer.status_code == 500, (number, answer.text)
                assert "is not about" in answer.text or "is no execution" in answer.text
                assert bench.script.calls == []
        await provider.close()

    async def test_of_strangers_is_refused(self, bench: Bench, served: list[Endpoint], key: Ed25519PrivateKey) -> None:
        served.append(Endpoint(build_app(bench.attempts, identity_keys=[public(key)])))
        await served[0].start()
        async with httpx.AsyncClient(trust_env=False) as stranger:
            for path in ("/discover", "/invoke/landlord/run"):
                assert (await stranger.post(f"{served[0].url}{path}")).status_code == 401


def public(key: Ed25519PrivateKey) -> str:
    """As Restate writes it: in base 58."""
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    number, digits = int.from_bytes(raw), ""
    while number:
        number, digit = divmod(number, len(BASE58))
        digits = BASE58[digit] + digits
    return f"publickeyv1_{'1' * (len(raw) - len(raw.lstrip(bytes(1))))}{digits}"
