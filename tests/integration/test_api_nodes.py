"""GET /v1/nodes: what the supervisor left with its cluster's row, at any replica."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.nodes import Node
from actors.supervisor.figures import Figures
from actors.supervisor.node_list import node_list
from controlplane.model import ClusterState, Status
from controlplane.persistence import gauges, nodes
from controlplane.persistence.nodes import Seen
from providers.compute.fake import FakeCloud
from tests.integration.api_replica import CLUSTER, Api, api_on
from tests.integration.owner import World, spec

HEAD = Node("h", "alpha", "10.0.0.1", alive=True, head=True, labels={"disk": "ssd"})
LOST = Node("l", "beta", "10.0.0.2", alive=False, head=False, labels={})


@pytest_asyncio.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with api_on(database_url) as api:
        yield api


def supervisor(database: AsyncEngine) -> Callable[[], Awaitable[list[dict[str, Any]]]]:
    """What one says whose fake platform were one of its own machine."""
    platforms = {"fake": "cloud"}

    async def listed() -> list[dict[str, Any]]:
        tenants = await gauges.tenants_on(database, platforms)
        on = {HEAD.name: platforms}
        counted = {HEAD.name: tenants}
        return node_list([HEAD, LOST], pinned=True, actors={"h": 1}, ceiling=9, platforms=on, tenants=counted)

    return listed


async def asked(api: Api) -> dict[str, Any]:
    answer = await api.client.get("/v1/nodes")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert isinstance(found, dict)
    return found


async def test_it_is_what_the_supervisor_saw_at_its_sweep(
    database: AsyncEngine, database_url: str, tmp_path: Path
) -> None:
    world = World(database, database_url, tmp_path, FakeCloud(identity="cloud"))
    made = await world.create(spec("1"))
    async with world.owner(made) as owner:
        await world.settled(made, Status.READY, 1)
        await world.patch(spec("2"))  # a tenant counts once, however many resources it had
        owner.mailbox.mark_dirty()
        await world.settled(made, Status.READY, 2)
    async with api_on(database_url) as api, world.net(LANDLORD_INTERNAL_CLUSTER_ID=CLUSTER) as supervisors:
        assert await asked(api) == {"items": [], "checked_at": None}
        await api.beat()
        await api.beat(cluster_id="another")
        assert await asked(api) == {"items": [], "checked_at": None}
        await Figures(supervisors, dict, supervisor(database)).run()
        found = await asked(api)
        alpha = {"name": "alpha", "address": "10.0.0.1", "alive": True, "draining": False, "labels": {"disk": "ssd"}}
        alpha |= {"providers": {"fake": {"engine": "cloud", "tenants": 1}}, "live_actors": 1, "ceiling": 9}
        beta = {"name": "beta", "address": "10.0.0.2", "alive": False, "draining": False, "labels": {}}
        beta |= {"providers": {}, "live_actors": 0, "ceiling": 0}
        assert found["items"] == [alpha, beta]
        async with database.connect() as connection:
            now = (await connection.execute(text("SELECT clock_timestamp()"))).scalar_one()
        assert 0 <= (now - datetime.fromisoformat(found["checked_at"])).total_seconds() < 300
        # The whole cluster drains, and a node that is gone does not.
        async with database.begin() as connection:
            drains = text("UPDATE clusters SET state = :state WHERE id = :id")
            await connection.execute(drains, {"state": ClusterState.DRAINING.value, "id": CLUSTER})
        assert [one["draining"] for one in (await asked(api))["items"]] == [True, False]


async def test_a_tenant_that_is_gone_is_on_no_platform(
    database: AsyncEngine, database_url: str, tmp_path: Path
) -> None:
    world = World(database, database_url, tmp_path, FakeCloud(identity="cloud"))
    made = await world.create(spec("1"))
    async with world.owner(made) as owner:
        await world.settled(made, Status.READY, 1)
        asked_for = {"fake": "cloud", "docker": "engine-1"}
        assert await gauges.tenants_on(database, asked_for) == {"fake": 1, "docker": 0}
        assert await gauges.tenants_on(database, {"fake": "another"}) == {"fake": 0}
        await world.delete()
        owner.mailbox.mark_dirty()
        await world.settled(made, Status.DELETED)
    assert await gauges.tenants_on(database, {"fake": "cloud"}) == {"fake": 0}
    assert await gauges.tenants_on(database, {}) == {}


async def test_a_supervisor_of_a_release_before_has_left_none(api: Api) -> None:
    await api.beat()
    await gauges.leave(api.database, CLUSTER, {"actors_live": 1, "nodes": {"alive": 1, "dead": 0}})
    assert await asked(api) == {"items": [], "checked_at": None}


async def test_who_may_see_them(api: Api) -> None:
    for role in ("viewer", "operator", "admin"):
        assert (await api.client.get("/v1/nodes", headers=await api.bearer(role))).status_code == 200
    assert (await api.client.get("/v1/nodes", headers={"Authorization": ""})).status_code == 401
    narrowed = {"name": "n", "role": "viewer", "name_prefix": "acme-"}
    secret = (await api.client.post("/v1/tokens", json=narrowed)).json()["token"]
    refused = await api.client.get("/v1/nodes", headers={"Authorization": f"Bearer {secret}"})
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


async def test_a_node_is_drained_by_an_admin_until_that_is_ended(api: Api) -> None:
    await nodes.saw(api.database, CLUSTER, [Seen("alpha", "10.0.0.1", True, True, {}, {"fake": "cloud"}, 2.0)])
    await api.beat()
    async with api.database.begin() as connection:
        listed = [{"name": "alpha", "address": "10.0.0.1", "alive": True, "labels": {}, "providers": {}}]
        figures = {"node_list": [{**listed[0], "live_actors": 0, "ceiling": 9}], "at": "2026-01-01T00:00:00Z"}
        await connection.execute(
            text("UPDATE clusters SET figures = CAST(:figures AS jsonb) WHERE id = :id"),
            {"figures": json.dumps(figures), "id": CLUSTER},
        )
    for path, gives_up in (
        ("drain", "actors"),
        ("drain?tenants=true", "tenants"),
        ("drain?tenants=true", "tenants"),
        ("undrain", None),
        ("undrain", None),
    ):
        answer = await api.client.post(f"/v1/nodes/alpha/{path}")
        assert (answer.status_code, answer.json()) == (200, {"name": "alpha", "gives_up": gives_up}), answer.text
        assert [one["draining"] for one in (await asked(api))["items"]] == [gives_up is not None]
    unknown = await api.client.post("/v1/nodes/gamma/drain")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "node_not_found")
    told = (await api.client.get("/v1/events")).json()["items"]
    said = [(one["type"], one["data"].get("gives_up")) for one in told if one["type"].startswith("node.")]
    assert said == [("node.active", None), ("node.draining", "tenants"), ("node.draining", "actors")]
