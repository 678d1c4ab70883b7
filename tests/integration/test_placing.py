"""Nodes as rows: what supervisors see is written down, and each execution has a node before it acts."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.model import PlacementSpec, Status
from controlplane.persistence import bootstrap, fleet, nodes, placements
from controlplane.persistence.nodes import Seen
from providers.compute.fake import FakeCloud
from tests.integration.api_replica import Api, api_on
from tests.integration.owner import World, create, spec


@pytest_asyncio.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with api_on(database_url) as api:
        yield api


def seen(name: str, identity: str | None = None, *, alive: bool = True, head: bool = False, **more: Any) -> Seen:
    made: dict[str, Any] = {"labels": {}, "platforms": {"fake": identity or f"cloud-{name}"}, "cpus": 2.0, **more}
    return Seen(name=name, address="10.0.0.1", head=head, alive=alive, **made)


async def rows(database: AsyncEngine) -> dict[str, tuple[bool, dict[str, str], Any]]:
    async with database.connect() as connection:
        return {one.name: (one.alive, dict(one.platforms), one.since) for one in await nodes.known(connection)}


async def written(database: AsyncEngine) -> list[str]:
    """Which version of its row each node has."""
    async with database.connect() as connection:
        return [row.xmin for row in await connection.execute(text("SELECT xmin::text FROM nodes ORDER BY name"))]


async def test_what_the_supervisor_sees_is_written_once(database: AsyncEngine) -> None:
    both = [seen("a", head=True), seen("b", labels={"disk": "ssd"})]
    await nodes.saw(database, "c1", both)
    first = await rows(database)
    assert {name: (alive, platforms) for name, (alive, platforms, _) in first.items()} == {
        "a": (True, {"fake": "cloud-a"}),
        "b": (True, {"fake": "cloud-b"}),
    }
    before = await written(database)
    await nodes.saw(database, "c1", both)
    assert await written(database) == before
    # It dies, and what nobody can say now stays.
    await nodes.saw(database, "c1", [both[0], seen("b", alive=False, platforms={}, cpus=None)])
    dead = await rows(database)
    assert dead["b"][:2] == (False, {"fake": "cloud-b"})
    assert dead["b"][2] > first["b"][2]
    assert dead["a"] == first["a"]
    await nodes.saw(database, "c1", [both[0], seen("b", platforms={"fake": None}, cpus=None)])
    back = await rows(database)
    assert back["b"][:2] == (True, {"fake": "cloud-b"})
    assert back["b"][2] > dead["b"][2]


async def test_a_node_is_alive_as_long_as_one_cluster_sees_it(database: AsyncEngine, database_url: str) -> None:
    old, new = [
        await bootstrap.prepare(database_url, home=home, build="test", admin_token=None) for home in ("h1", "h2")
    ]
    await nodes.saw(database, old, [seen("a", head=True), seen("b")])
    await nodes.saw(database, new, [seen("z", head=True)])
    assert {name: alive for name, (alive, *_) in (await rows(database)).items()} == {"a": True, "b": True, "z": True}
    await nodes.saw(database, new, [seen("z", head=True), seen("b")])
    await nodes.saw(database, old, [seen("a", head=True)])
    assert (await rows(database))["b"][0]
    # The head of a cluster that has ended, and what it saw last, are not alive.
    following = await bootstrap.prepare(database_url, home="h1", build="test", admin_token=None)
    await nodes.saw(database, following, [seen("a2", head=True)])
    assert {name: alive for name, (alive, *_) in (await rows(database)).items()} == {
        "a": False,
        "a2": True,
        "b": True,
        "z": True,
    }


async def test_the_nodes_of_a_cluster_that_sweeps_no_more_are_dead(database: AsyncEngine, database_url: str) -> None:
    old, new = [
        await bootstrap.prepare(database_url, home=home, build="test", admin_token=None) for home in ("h1", "h2")
    ]
    await nodes.saw(database, old, [seen("a", head=True), seen("b")])
    await nodes.saw(database, new, [seen("z", head=True)])
    assert await nodes.of_others(database, new, ["z"]) == {"a", "b"}
    async with database.begin() as connection:
        ago = "clock_timestamp() - make_interval(secs => 121)"
        await connection.execute(text(f"UPDATE clusters SET heartbeat_at = {ago} WHERE id = :id"), {"id": old})
    await nodes.saw(database, new, [seen("z", head=True)])
    assert {name: alive for name, (alive, *_) in (await rows(database)).items()} == {"a": False, "b": False, "z": True}
    assert await nodes.of_others(database, new, ["z"]) == set()
    # It was silent only.
    await nodes.saw(database, old, [seen("a", head=True), seen("b")])
    assert await nodes.of_others(database, new, ["z"]) == {"a", "b"}


async def test_each_execution_has_its_node_in_the_transaction_of_the_intent(
    database: AsyncEngine, database_url: str, tmp_path: Path
) -> None:
    await nodes.saw(database, "test", [seen("a", head=True), seen("b")])
    chosen = [(await create(database, f"t{number}", spec("1")))[1].node for number in range(6)]
    assert sorted(map(str, chosen)) == ["a", "a", "a", "b", "b", "b"]
    wish = PlacementSpec(node="b")
    world = World(database, database_url, tmp_path, FakeCloud(identity="cloud-b"))
    tenant = await world.create(spec("1").model_copy(update={"placement": wish}))
    async with world.owner(tenant) as owner:
        view = await world.settled(tenant, Status.READY, 1)
        placement = await placements.of_execution(database, view.execution.id)
        assert placement is not None
        assert placement.node == "b"
        place = (await fleet.places(database, ["acme"], "test"))["acme"]
        assert (place.node, place.platform_identity) == ("b", "cloud-b")
        # It stays, though the other one has less to do; also under another name of the same machine.
        await create(database, "more", spec("1"))
        assert (await world.patch(spec("2").model_copy(update={"placement": wish}))).node == "b"
        owner.mailbox.mark_dirty()
        await world.settled(tenant, Status.READY, 2)
        await nodes.saw(database, "test", [seen("a", head=True), seen("b2", "cloud-b")])
        assert (await world.patch(spec("3"))).node == "b2"
        assert (await world.delete()).node == "b2"


async def test_without_nodes_none_is_chosen(database: AsyncEngine) -> None:
    assert (await create(database, "acme", spec("1")))[1].node is None


async def test_a_wish_is_checked_and_shown(api: Api) -> None:
    studio = {"provider": "process", "config": {"command": ["serve"]}}

    async def wanting(placement: Any, name: str = "acme") -> Any:
        return await api.client.post(
            "/v1/tenants", json={"name": name, "spec": {"compute": studio, "placement": placement}}
        )

    early = await wanting({"node": "a"})
    assert (early.status_code, early.json()["code"]) == (409, "node_unavailable")
    assert "the supervisor has not said yet" in early.json()["detail"]
    listed = [seen("a", head=True, platforms={"process": "p-a"}), seen("b", platforms={}, alive=True)]
    await nodes.saw(api.database, "here", listed)
    unknown = await wanting({"node": "z"})
    assert (unknown.status_code, unknown.json()["code"]) == (400, "validation_failed")
    assert unknown.json()["errors"] == [
        {"loc": "spec.placement.node", "message": "there is no node 'z'; the nodes are: a, b"}
    ]
    assert (await wanting({"labels": {"disk": "ssd"}})).json()["errors"][0]["loc"] == "spec.placement.labels"
    assert (await wanting({"node": "a", "labels": {"disk": "ssd"}})).status_code == 400
    assert (await wanting({"node": "b"})).json()["code"] == "node_unavailable"
    assert await api.count("tenants") == 0
    taken = await wanting({"node": "a"})
    assert taken.status_code == 202, taken.text
    assert taken.json()["spec"]["placement"] == {"node": "a"}
    assert taken.json()["observed"]["node"] is None
    without = await wanting(None, "other")
    assert without.status_code == 202
    assert "placement" not in without.json()["spec"]
    # A change of the wish is checked, any other change is not.
    await nodes.saw(api.database, "here", [seen("b", platforms={}, head=True)])
    moved = await api.client.patch("/v1/tenants/acme", json={"spec": {"placement": {"node": "z"}}})
    assert moved.status_code == 400
    changed = await api.client.patch("/v1/tenants/acme", json={"spec": {"compute": {"config": {"env": {"A": "1"}}}}})
    assert changed.status_code == 202, changed.text


async def test_a_platform_that_is_on_no_node_takes_no_wish(api: Api) -> None:
    wish = {"compute": {"provider": "cloud", "config": {"image": "i"}}, "placement": {"node": "a"}}
    refused = await api.client.post("/v1/tenants", json={"name": "acme", "spec": wish})
    assert refused.status_code == 400
    assert refused.json()["errors"] == [
        {"loc": "spec.placement", "message": "cloud is on no node of the cluster; leave it out"}
    ]


@pytest.mark.parametrize("known", [True, False])
async def test_the_owner_says_on_which_node_it_saw_the_resource(
    database: AsyncEngine, database_url: str, tmp_path: Path, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("providers.compute.fake.FakeCompute.one_node", True)
    world = World(database, database_url, tmp_path, FakeCloud(identity="cloud-b"))
    tenant = await world.create(spec("1"))
    async with world.owner(tenant, node="b" if known else None):
        view = await world.settled(tenant, Status.READY, 1)
        assert view.tenant.observed.node == ("b" if known else None)
        view = await world.until(tenant, lambda v: v.tenant.observed.checked_at is not None)
        assert view.tenant.observed.node == ("b" if known else None)
