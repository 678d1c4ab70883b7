"""Which endpoint Restate calls, of several releases or clusters, and whose calls an endpoint takes."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.runtime import Identity, Runtime
from actors.supervisor.engines import Engines
from controlplane.errors import Unavailable
from controlplane.model import Action, ClusterState, StepName, SubState
from controlplane.persistence import bootstrap, clusters, fleet, leases, tables
from controlplane.ports import WorkflowProvider
from providers.compute.fake import FakeCloud
from providers.conformance.workflow import PROVISION
from providers.conformance.workflow_bench import Bench, end, until
from providers.registry import Enabled
from providers.workflow.restate.app import build_app
from providers.workflow.restate.provider import RestateWorkflow
from tests.contract.restate.bench import TWICE, Endpoint, restate_at
from tests.integration.owner import World
from tests.restate import RestateServer

BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


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
