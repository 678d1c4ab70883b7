"""The ceiling of live actors: who is at rest makes room, newcomers get in, nobody is told twice."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.runtime import Runtime
from actors.supervisor.actor import Supervisor
from controlplane.model import ComputeSpec, ExecutionState
from controlplane.persistence import tables
from providers.compute.fake import FakeCloud, FakeCompute
from providers.registry import Enabled
from tests.integration.named_actors import Handle, NamedActors, Tenant
from tests.integration.owner import World, create, delete, spec

CEILING = 2
SECONDS = 20.0


class Cluster:
    """A supervisor under a ceiling, and the tenants' actors that it makes."""

    def __init__(self, patch: pytest.MonkeyPatch, database: AsyncEngine, ceiling: int = CEILING) -> None:
        self._database = database
        self._patch = patch
        self._named = NamedActors(patch)
        self.most = 0
        """As many lived at once."""
        self.begun: list[tuple[str, Tenant]] = []
        patch.setattr("actors.supervisor.admission.ceiling", lambda *_: ceiling)
        patch.setattr("actors.supervisor.actor.list_named_actors", lambda all_namespaces: [])
        patch.setattr("actors.supervisor.admission.TenantActor", self)
        patch.setattr("actors.supervisor.actor.listen", self._hear_nothing)
        self._name = ""

    @staticmethod
    async def _hear_nothing(*_: object) -> None:
        """In place of NOTIFY, whose late signals bring tenants in as well."""
        await asyncio.Event().wait()

    def options(self, *, name: str, **_: object) -> "Cluster":
        self._name = name
        return self

    def remote(self, name: str, node: str | None, wanted_by: str | None) -> Handle:
        if self._name not in self._named.live:
            tenant = Tenant(gone=lambda actor=self._name: self._named.live.pop(actor, None))  # type: ignore[misc]
            self._named.live[self._name] = tenant
            self.begun.append((name, tenant))
            self.most = max(self.most, len(self.live))
        return self._named.get(self._name, "landlord")

    @asynccontextmanager
    async def supervised(self, runtime: Runtime) -> AsyncIterator[Supervisor]:
        self._patch.setattr("actors.supervisor.actor.build_runtime", lambda **_: runtime)
        supervisor = self._named.live["supervisor"] = Supervisor.__new__(Supervisor)
        await supervisor.__init__()  # as Ray does
        try:
            yield supervisor
        finally:
            # A task that is answered at this very moment goes on: asyncio.wait_for keeps the answer, not the end.
            while tasks := [task for task in supervisor._tasks if not task.done()]:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks, timeout=1)

    @property
    def live(self) -> list[Tenant]:
        return [actor for actor in self._named.live.values() if isinstance(actor, Tenant)]

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.begun]

    async def admitted(self, supervisor: Supervisor, name: str) -> None:
        async with asyncio.timeout(SECONDS):
            while not await supervisor.activate(name):  # noqa: ASYNC110, who is at rest is on its way out
                await asyncio.sleep(0.01)

    async def rest(self, supervisor: Supervisor, name: str) -> None:
        """As its owner: its execution is over, and there is nothing more to do. That takes longer than the supervisor
        has a wake-up for it in hand: one that it served after the rest would bring the tenant in again, for nothing."""
        await until(lambda: not supervisor._waker.busy and not _finding(supervisor))
        async with self._database.begin() as connection:
            await connection.execute(
                update(tables.executions)
                .where(tables.executions.c.tenant_name == name)
                .values(state=ExecutionState.FAILED)
            )
        dict(self.begun)[name].rest()


def _finding(supervisor: Supervisor) -> bool:
    """Who is due is being looked for, because somebody left."""
    return any(task.get_name() == "there is room" for task in supervisor._tasks)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110, the supervisor's own tasks bring it about
            await asyncio.sleep(0.01)


async def test_contention(
    database: AsyncEngine, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, world = Cluster(monkeypatch, database), World(database, database_url, tmp_path, FakeCloud())
    everybody = [f"t{number}" for number in range(6)]
    for name in everybody:
        await create(database, name, spec())
    # One sweep an hour: whoever gets in later does so because somebody left.
    async with (
        world.net(LANDLORD_SWEEP_SECONDS="3600", LANDLORD_WARM_WORKERS="0") as runtime,
        cluster.supervised(runtime) as supervisor,
    ):
        await until(lambda: len(cluster.begun) == CEILING and all(tenant.told for _, tenant in cluster.begun))
        for name in set(everybody) - set(cluster.names):
            assert not await supervisor.activate(name), "turned away again and again"
        for turn in range(CEILING, len(everybody)):
            leaves = cluster.names[turn - CEILING]
            await cluster.rest(supervisor, leaves)
            await until(lambda turn=turn: len(cluster.begun) == turn + 1)  # type: ignore[misc]
            assert leaves not in await supervisor.live()
        assert sorted(cluster.names) == everybody, "each came in, once"
        assert cluster.most == CEILING
        assert supervisor._admission.activations.read() == {"cold": len(everybody)}
        assert supervisor._admission.departures.read() == {"passivated": len(everybody) - CEILING}
        assert max(tenant.told for _, tenant in cluster.begun) == 1
        for name in cluster.names[-CEILING:]:
            await cluster.rest(supervisor, name)
        for name in cluster.names[:CEILING]:  # back again: none of those that are on their way out
            await cluster.admitted(supervisor, name)
        assert not await supervisor.activate(cluster.names[CEILING])
        await until(lambda: [tenant.told for tenant in cluster.live] == [1, 1])  # as newcomers


async def test_a_burst_behind_a_dead_platform_leaves_places_for_another_platform_and_for_deletes(
    database: AsyncEngine, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty tenants want one platform, which hangs: whoever gets a place never rests."""
    places, kept = 16, 16 // 8
    cloud = FakeCloud()
    cluster, world = Cluster(monkeypatch, database, places), World(database, database_url, tmp_path, cloud)
    for number in range(20):
        await create(database, f"hangs-{number}", spec())
    async with world.net(LANDLORD_SWEEP_SECONDS="3600", LANDLORD_WARM_WORKERS="0") as built:
        both = Enabled({name: lambda: FakeCompute(cloud) for name in ("fake", "well")})
        async with cluster.supervised(replace(built, compute=both)) as supervisor:
            await until(lambda: len(cluster.begun) == places - 2 * kept and not supervisor._waker.busy)
            assert not await supervisor.activate("hangs-19"), "what is left is for others"

            on_another = spec().model_copy(update={"compute": ComputeSpec(provider="well", config={})})
            await create(database, "healthy", on_another)
            assert await supervisor.activate("healthy")

            for name in ("hangs-18", "hangs-19"):
                await delete(database, name)
                assert await supervisor.activate(name)
            await supervisor._admission.adopt(cluster.names)
            assert not await supervisor.activate("hangs-17"), "nor does a sweep forget whose the places are"
            await create(database, "healthy-too", on_another)
            assert await supervisor.activate("healthy-too")
