"""Which workers the supervisor orders, to stand ready."""

import asyncio
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.supervisor.pool import Pool
from controlplane.persistence import clusters
from providers.compute.fake import FakeCloud
from tests.integration.owner import World
from tests.integration.test_back_pressure import Cluster
from tests.unit.test_pool import Node


async def test_a_draining_cluster_ends_those_that_are_unused_until_it_is_active_again(
    database: AsyncEngine, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node()
    monkeypatch.setattr("actors.supervisor.actor.raylet.addresses", lambda head_only: ["head"])
    monkeypatch.setattr("actors.supervisor.actor.Pool", partial(Pool, connect=lambda _: node))
    cluster, world = Cluster(monkeypatch, database), World(database, database_url, tmp_path, FakeCloud())
    async with database.begin() as connection:
        await clusters.register(connection, home="h", before=None, build="b", id="test")
    async with (
        world.net(LANDLORD_SWEEP_SECONDS="3600", LANDLORD_WARM_WORKERS="2") as runtime,
        cluster.supervised(runtime) as supervisor,
    ):
        id = runtime.identity.cluster_id
        async with asyncio.timeout(60):
            await node.ordered.wait()
        assert node.orders == [2]
        node.come(2)
        assert await clusters.drain(database, id, actor="test")
        await supervisor._beat()
        node.take()
        assert await supervisor._pool.fill() == 0
        assert node.orders == [2]
        assert not node.unused
        assert await clusters.undrain(database, id, actor="test")
        await supervisor._beat()
        assert await supervisor._pool.fill() == 0
        assert node.orders == [2, 2]
