"""Between the word of an actor that it leaves and the end of its process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.runtime import Runtime
from actors.supervisor.actor import Supervisor
from providers.compute.fake import FakeCloud
from tests.integration.owner import World, create, spec
from tests.integration.supervised import SECONDS, Cluster, until


@pytest_asyncio.fixture
async def runtime(database: AsyncEngine, database_url: str, tmp_path: Path) -> AsyncIterator[Runtime]:
    """One sweep, and then none for an hour: what happens comes from what was heard of an actor."""
    world = World(database, database_url, tmp_path, FakeCloud())
    async with world.net(LANDLORD_SWEEP_SECONDS="3600", LANDLORD_WARM_WORKERS="0") as built:
        yield built


@asynccontextmanager
async def one_leaves(cluster: Cluster, database: AsyncEngine, runtime: Runtime) -> AsyncIterator[Supervisor]:
    """The owner of `acme` has said that it leaves, and its process has not ended."""
    await create(database, "acme", spec())
    async with cluster.supervised(runtime) as supervisor:
        await until(lambda: len(cluster.begun) == 1 and not supervisor._waker.busy)
        cluster.begun[0][1].leave()
        await until(lambda: not supervisor._admission.live)
        yield supervisor


async def test_an_actor_that_leaves_is_neither_adopted_nor_dead(
    database: AsyncEngine, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with one_leaves(Cluster(monkeypatch, database), database, runtime) as supervisor:
        assert await supervisor._adopt() == 1, "it is still in Ray's list"
        assert supervisor._admission.live == {}
        assert supervisor._admission.activations.read() == {"cold": 1}
        assert supervisor._admission.departures.read() == {"passivated": 1}


async def test_a_start_waits_for_the_name_of_an_actor_that_leaves(
    database: AsyncEngine, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(monkeypatch, database)
    async with one_leaves(cluster, database, runtime) as supervisor:
        asked = cluster.asked
        starting = asyncio.create_task(supervisor.activate("acme"))
        await until(lambda: cluster.asked > asked + 1)
        assert not starting.done()
        cluster.begun[0][1].end()
        assert await starting
        assert cluster.names == ["acme", "acme"]
        assert await supervisor.live() == ["acme"]


async def test_who_waited_for_a_turn_while_another_owner_came_and_left_starts_none(
    database: AsyncEngine, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client's request and the signal of its commit both bring in the tenant. The owner of the first has seen all."""
    cluster = Cluster(monkeypatch, database)
    turns: asyncio.Queue[None] = asyncio.Queue()
    waiting = 0

    @asynccontextmanager
    async def turn(node: str | None, *, urgent: bool) -> AsyncIterator[bool]:
        nonlocal waiting
        waiting += 1
        await turns.get()
        yield True

    async with cluster.supervised(runtime) as supervisor:
        await until(lambda: "figures" in supervisor._clockwork.report)
        monkeypatch.setattr(supervisor._admission.pace, "turn", turn)
        await create(database, "acme", spec())
        both = {asyncio.create_task(supervisor.activate("acme")) for _ in range(2)}
        await until(lambda: waiting == 2)
        turns.put_nowait(None)
        # Either may have come to its turn first.
        [first], [second] = await asyncio.wait(both, timeout=SECONDS, return_when=asyncio.FIRST_COMPLETED)
        assert await first
        [(_, owner)] = cluster.begun
        owner.end()
        owner.leave()
        await until(lambda: not supervisor._admission.live)
        turns.put_nowait(None)
        assert not await second
        assert cluster.names == ["acme"]
