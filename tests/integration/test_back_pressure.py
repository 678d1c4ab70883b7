"""The ceiling of live actors: who is at rest makes room, newcomers get in, nobody is told twice."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.model import ComputeSpec
from providers.compute.fake import FakeCloud, FakeCompute
from providers.registry import Enabled
from tests.integration.owner import World, create, delete, spec
from tests.integration.supervised import CEILING, Cluster, until


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
