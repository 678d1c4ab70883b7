"""A node is drained: nothing comes to it, and its tenants go to other nodes, one after the other."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.nodes import Node
from actors.supervisor.drained import Drained
from actors.supervisor.locations import Locations
from controlplane.lifecycle import placing
from controlplane.model import NodeDrain, PlacementSpec, Status, Tenant
from controlplane.persistence import drains, fleet, nodes
from tests.integration.owner import create, spec
from tests.integration.test_several_nodes import Cluster, Machine

ADMIN = "an admin"


class Directory:
    """Of the live actors, who is asked to leave."""

    def __init__(self) -> None:
        self.dismissed: list[str] = []

    async def make_room(self, name: str) -> None:
        self.dismissed.append(name)


def living() -> Mapping[str, Sequence[str]]:
    return {"id-b": ["acme"], "id-a": ["another"]}


class Stage:
    """What a supervisor does at each sweep."""

    def __init__(self, machine: Machine) -> None:
        self.directory = Directory()
        known = [Node(f"id-{name}", name, "10.0.0.1", True, name == "a", {}, joined=True) for name in "ab"]
        self.locations = Locations(pinned=True, known=lambda: known)
        self.locations.look()
        self._machine = machine
        self._stage: Drained | None = None

    async def look(self) -> int:
        async with self._machine.world.net() as runtime:
            if self._stage is None:
                self._stage = Drained(runtime, self.directory, self.locations, living)  # type: ignore[arg-type]
            self._stage._runtime = runtime
            return await self._stage.look()


@pytest.fixture
def cluster(database: AsyncEngine, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setattr("providers.compute.fake.FakeCompute.one_node", True)
    return Cluster(database, database_url, tmp_path)


async def on_b(cluster: Cluster, *names: str) -> list[Tenant]:
    """Ready there, and `a` lives too."""
    await cluster.living(cluster.b)
    made = [(await create(cluster.database, name, spec("1")))[0] for name in names]
    for tenant in made:
        async with cluster.b.world.owner(tenant, node="b"):
            await cluster.b.world.settled(tenant, Status.READY, 1)
    await cluster.living(cluster.a, cluster.b)
    return made


async def places(cluster: Cluster, *names: str) -> dict[str, str | None]:
    found = await fleet.places(cluster.database, names, "test")
    return {name: place.node for name, place in found.items()}


async def test_tenants_go_one_by_one_and_serve_all_the_time(cluster: Cluster) -> None:
    a, b, stage = cluster.a, cluster.b, Stage(cluster.a)
    first, second = await on_b(cluster, "acme", "other")
    assert await drains.drain(cluster.database, "b", NodeDrain.TENANTS, actor=ADMIN)
    assert await stage.look() == 1
    assert set(stage.directory.dismissed) == {"acme"}
    moving = await places(cluster, "acme", "other")
    assert sorted(moving.values(), key=str) == ["a", "b"], "one of them is on its way"
    await stage.look()
    assert await places(cluster, "acme", "other") == moving, "no other one follows before it has arrived"
    for _ in range(2):
        for tenant in (first, second):
            if (await places(cluster, tenant.name))[tenant.name] != "a":
                continue
            async with a.world.owner(tenant, node="a"):
                await a.world.until(tenant, lambda v: v.tenant.observed.node == "a")
                await b.swept()
                view = await a.world.settled(tenant, Status.READY, 1)
                assert view.execution.run == 2
        await stage.look()
    assert await places(cluster, "acme", "other") == {"acme": "a", "other": "a"}
    assert await b.world.instances() == []
    assert len(await a.world.instances()) == 2
    assert await drains.drain(cluster.database, "b", None, actor=ADMIN)
    assert await stage.look() == 0
    assert not stage.locations.draining


async def test_who_keeps_data_there_stays_and_a_failed_move_leaves_the_old_one_at_work(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, stage = cluster.a, cluster.b, Stage(cluster.a)
    keeps, goes = await on_b(cluster, "keeps", "goes")

    def holds(_: Any, config: Mapping[str, Any]) -> bool:
        return bool(config.get("keeps"))

    monkeypatch.setattr("providers.compute.fake.FakeCompute.holds_data", holds, raising=False)
    async with cluster.database.begin() as connection:
        config = "jsonb_set(spec, '{compute,config,keeps}', 'true')"
        await connection.execute(text(f"UPDATE executions SET spec = {config} WHERE tenant_name = 'keeps'"))
    await drains.drain(cluster.database, "b", NodeDrain.TENANTS, actor=ADMIN)
    await stage.look()
    assert await places(cluster, "keeps", "goes") == {"keeps": "b", "goes": "a"}
    a.world.cloud.script("create", *["refuses"] * 100)
    async with a.world.owner(goes, max_attempts=1, node="a"):
        await a.world.until(goes, lambda v: v.tenant.status is Status.FAILED)
    assert await b.world.instances() == [(1, 1, "running"), (1, 1, "running")]
    await stage.look()
    assert await places(cluster, "keeps", "goes") == {"keeps": "b", "goes": "b"}, "it is not tried again and again"
    assert keeps.name == "keeps"


async def test_nothing_comes_to_it_and_what_waits_for_it_goes_elsewhere(cluster: Cluster) -> None:
    a, stage = cluster.a, Stage(cluster.a)
    await cluster.living(cluster.b)
    waiting = await a.world.create(spec("1"))
    assert await places(cluster, "acme") == {"acme": "b"}
    await cluster.living(cluster.a, cluster.b)
    await drains.drain(cluster.database, "b", NodeDrain.ACTORS, actor=ADMIN)
    place = (await fleet.places(cluster.database, ["acme"], "test"))["acme"]
    await stage.look()
    assert not stage.locations.takes(place)
    assert await places(cluster, "acme") == {"acme": "a"}
    async with a.world.owner(waiting, node="a"):
        await a.world.settled(waiting, Status.READY, 1)
    await create(cluster.database, "later", spec("1"))
    assert await places(cluster, "later") == {"later": "a"}
    await drains.drain(cluster.database, "a", NodeDrain.ACTORS, actor=ADMIN)
    await create(cluster.database, "nowhere", spec("1"))
    assert await places(cluster, "nowhere") == {"nowhere": None}
    await stage.look()
    assert not stage.locations.takes((await fleet.places(cluster.database, ["nowhere"], "test"))["nowhere"])
    assert not stage.locations.takes(None)


async def test_actors_alone_leave_and_deletions_go_on(cluster: Cluster) -> None:
    b, stage = cluster.b, Stage(cluster.a)
    (tenant,) = await on_b(cluster, "acme")
    await drains.drain(cluster.database, "b", NodeDrain.ACTORS, actor=ADMIN)
    await stage.look()
    assert await places(cluster, "acme") == {"acme": "b"}
    assert not stage.locations.takes((await fleet.places(cluster.database, ["acme"], "test"))["acme"])
    assert (await b.world.patch(spec("2"))).node == "b", "it waits for the machine"
    await b.world.delete()
    assert stage.locations.takes((await fleet.places(cluster.database, ["acme"], "test"))["acme"])
    async with b.world.owner(tenant, node="b") as owner:
        assert await owner.left() == "deleted"


async def test_a_wish_for_a_node_that_drains_is_refused_and_an_unknown_node_is_not_drained(cluster: Cluster) -> None:
    await cluster.living(cluster.a, cluster.b)
    await drains.drain(cluster.database, "b", NodeDrain.ACTORS, actor=ADMIN)
    await cluster.living(cluster.a, cluster.b)  # a sweep leaves the mark
    assert not await drains.drain(cluster.database, "c", NodeDrain.ACTORS, actor=ADMIN)
    assert await drains.drained(cluster.database) == {"b": NodeDrain.ACTORS}
    async with cluster.database.connect() as connection:
        known = await nodes.known(connection)
    wish = spec("1").model_copy(update={"placement": PlacementSpec(node="b")})
    found = placing.obstacle(known, wish, "embedded")
    assert found is not None
    assert found[0].startswith("b is being drained; end that, or choose another of: a, b")
    assert not found[1]
