"""The supervisor starts as many actors at once as their machine takes, and a delete does not wait behind them."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.supervisor import crowd
from actors.supervisor.actor import Supervisor
from actors.supervisor.pace import Pace
from providers.compute.fake import FakeCloud
from tests.integration.named_actors import Tenant
from tests.integration.owner import World, create, delete, spec
from tests.integration.test_back_pressure import Cluster, until


async def test_a_burst_of_slow_starts(
    database: AsyncEngine, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, waited = asyncio.Event(), 0.0

    async def pressure(_: Tenant) -> dict[str, object]:
        nonlocal waited
        await go_on.wait()
        waited += 1
        return {"machine": "box", "waited": waited, "at": waited}

    monkeypatch.setattr(Tenant, "pressure", pressure)
    cluster, world = Cluster(monkeypatch, database, 100), World(database, database_url, tmp_path, FakeCloud())
    names = [f"t{number}" for number in range(7)]
    for name in names:
        await create(database, name, spec())
    async with (
        world.net(LANDLORD_SWEEP_SECONDS="3600", LANDLORD_WARM_WORKERS="0") as runtime,
        cluster.supervised(runtime) as supervisor,
    ):
        supervisor._admission.pace = Pace(lambda _: 2)
        await begun(cluster, 4)
        await create(database, "leaves", spec())
        await delete(database, "leaves")
        leaving = asyncio.create_task(supervisor.activate("leaves"))
        await begun(cluster, 5)
        assert "leaves" in cluster.names
        assert supervisor._figures()["starts_at_once"] == {"any": 4}
        go_on.set()
        await begun(cluster, 8)
        assert await leaving
        assert sorted(cluster.names) == ["leaves", *names]
        async with asyncio.timeout(60):
            while supervisor._figures()["starts_at_once"] != {"any": 2}:  # noqa: ASYNC110, the last one answers
                await asyncio.sleep(0.01)


async def test_owners_at_rest_leave_a_machine_where_starts_wait(
    database: AsyncEngine, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but the youngest few are told to. Without a queue nobody is."""
    go_on = asyncio.Event()

    async def pressure(_: Tenant) -> None:
        await go_on.wait()

    monkeypatch.setattr(Tenant, "pressure", pressure)
    monkeypatch.setattr("actors.supervisor.admission.RESTING_PER_CORE", 1)
    cluster, world = Cluster(monkeypatch, database, 100), World(database, database_url, tmp_path, FakeCloud())
    async with (
        world.net(LANDLORD_SWEEP_SECONDS="3600", LANDLORD_WARM_WORKERS="0") as runtime,
        cluster.supervised(runtime) as supervisor,
    ):
        supervisor._admission.pace = Pace(lambda _: 2)
        on_one_machine(supervisor, monkeypatch)
        for number in range(7):
            await create(database, f"t{number}", spec())
        starts = [asyncio.create_task(supervisor.activate(f"t{number}")) for number in range(7)]
        await begun(cluster, 4)
        await until(lambda: len(supervisor._admission.pace._lanes[None].turns._waiting) >= 3)
        assert [tenant.told for _, tenant in cluster.begun] == [0] * 4
        go_on.set()
        assert all(await asyncio.gather(*starts))
        await until(lambda: [tenant.told for _, tenant in cluster.begun[:2]] == [1, 1])
        assert [tenant.told for _, tenant in cluster.begun[-2:]] == [0, 0]


@pytest.mark.parametrize("waited", [1.0, 0.1], ids=["busy", "idle"])
async def test_a_busy_machine_with_many_owners_starts_one_when_another_has_left(
    waited: float, database: AsyncEngine, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A delete may begin beside them. On a machine with idle cores all begin."""
    monkeypatch.setattr("actors.supervisor.admission.RESTING_PER_CORE", 1)
    monkeypatch.setattr(crowd, "PER_CORE", 2)
    monkeypatch.setattr(crowd, "URGENT_PER_CORE", 1)
    monkeypatch.setattr(crowd, "PATIENCE_SECONDS", 60.0)
    cluster, world = Cluster(monkeypatch, database, 100), World(database, database_url, tmp_path, FakeCloud())
    async with (
        world.net(LANDLORD_SWEEP_SECONDS="3600", LANDLORD_WARM_WORKERS="0") as runtime,
        cluster.supervised(runtime) as supervisor,
    ):
        pace = supervisor._admission.pace = Pace(lambda _: 2)
        for at in (1.0, 2.0):
            pace.heard(None, {"machine": "box", "waited": at * waited, "at": at})
        on_one_machine(supervisor, monkeypatch)
        for number in range(6):
            await create(database, f"t{number}", spec())
        starts = [asyncio.create_task(supervisor.activate(f"t{number}")) for number in range(6)]
        await create(database, "leaves", spec())
        await delete(database, "leaves")
        starts.append(asyncio.create_task(supervisor.activate("leaves")))
        if waited == 1:
            await until(lambda: len(cluster.begun) == 5 and "leaves" in cluster.names)
            for _, oldest in cluster.begun[:2]:
                await until(lambda oldest=oldest: oldest.told == 1)  # type: ignore[misc]
                assert len(cluster.begun) == 5
                oldest.rest()
        await until(lambda: set(cluster.names) == {"leaves", *(f"t{number}" for number in range(6))})
        assert all(await asyncio.gather(*starts))


async def test_an_actor_that_left_before_it_answered_makes_nobody_wait(
    database: AsyncEngine, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def pressure(_: Tenant) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Tenant, "pressure", pressure)
    cluster, world = Cluster(monkeypatch, database, 100), World(database, database_url, tmp_path, FakeCloud())
    for number in range(5):
        await create(database, f"t{number}", spec())
    async with (
        world.net(LANDLORD_SWEEP_SECONDS="3600", LANDLORD_WARM_WORKERS="0") as runtime,
        cluster.supervised(runtime) as supervisor,
    ):
        supervisor._admission.pace = Pace(lambda _: 2)
        await begun(cluster, 4)
        _, first = cluster.begun[0]
        first.told = 1  # as if there were no room for another one
        first.rest()
        await until(lambda: len(cluster.begun) > 4)


def on_one_machine(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    """All actors are on a machine with two cores, also those that begin before the first sweep has found it."""
    monkeypatch.setattr(supervisor._locations, "cores", lambda _: 2)
    monkeypatch.setattr(supervisor._locations, "of", lambda _: ({}, None))


async def begun(cluster: Cluster, number: int) -> None:
    async with asyncio.timeout(60):
        while len(cluster.begun) < number:  # noqa: ASYNC110, the supervisor's own tasks bring it about
            await asyncio.sleep(0.01)
    assert len(cluster.begun) == number
