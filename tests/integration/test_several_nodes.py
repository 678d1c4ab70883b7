"""Two machines of one cluster, each with a platform of its own: a tenant moves from one to the other, and a machine is
lost and comes back. Owners, sweeps and rows are real; each machine's platform is a fake cloud of its own."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.nodes import Node
from actors.supervisor.locations import Locations
from actors.supervisor.nominations import Nominations
from actors.supervisor.sweep import Sweep
from controlplane.model import (
    Condition,
    ConditionType,
    PlacementSpec,
    Reason,
    Status,
    Tenant,
    TenantSpec,
)
from controlplane.persistence import fleet, nodes
from controlplane.persistence.nodes import Seen
from controlplane.persistence.resting import resting_on
from controlplane.persistence.tenants import TenantView
from providers.compute.fake import FakeCloud
from tests.integration.owner import World, spec


@dataclass
class Machine:
    """Not the head, unless it is `a`."""

    name: str
    world: World

    @property
    def seen(self) -> Seen:
        platforms = {"fake": f"cloud-{self.name}"}
        return Seen(self.name, "10.0.0.1", self.name == "a", True, {}, platforms, 2.0)

    async def swept(self) -> list[str]:
        """As its outpost does. Whom it nominates."""
        nominated: list[str] = []
        async with self.world.net() as runtime:
            sweep = Sweep(runtime, Nominations(lambda tenant, _: nominated.append(tenant.name)), head=False)
            await sweep.resources()
            assert sweep.platforms == {"fake": f"cloud-{self.name}"}
        return nominated


class Cluster:
    def __init__(self, database: AsyncEngine, url: str, root: Path) -> None:
        self.database = database
        self.a, self.b, self.c = (
            Machine(name, World(database, url, root / name, FakeCloud(identity=f"cloud-{name}"))) for name in "abc"
        )

    async def living(self, *machines: Machine) -> None:
        """What the supervisor writes at its sweep."""
        await nodes.saw(self.database, "test", [machine.seen for machine in machines])

    async def silent_for(self, machine: Machine, seconds: float) -> None:
        async with self.database.begin() as connection:
            await connection.execute(
                text("UPDATE nodes SET since = clock_timestamp() - make_interval(secs => :s) WHERE name = :name"),
                {"s": seconds, "name": machine.name},
            )

    async def on(self, machine: Machine, *others: Machine) -> Tenant:
        """`acme`, ready there, of all machines."""
        await self.living(machine)
        tenant = await machine.world.create(spec("1"))
        await self.living(machine, *others)
        async with machine.world.owner(tenant, node=machine.name):
            await machine.world.settled(tenant, Status.READY, 1)
        return tenant


@pytest.fixture
def cluster(database: AsyncEngine, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setattr("providers.compute.fake.FakeCompute.one_node", True)
    return Cluster(database, database_url, tmp_path)


def at(machine: Machine, version: str = "1") -> TenantSpec:
    return spec(version).model_copy(update={"placement": PlacementSpec(node=machine.name)})


def said(view: TenantView, type: ConditionType) -> Condition | None:
    return next((one for one in view.tenant.conditions if one.type == type), None)


def waits_for(view: TenantView, reason: Reason) -> bool:
    condition = said(view, ConditionType.WAITING)
    return condition is not None and condition.reason == reason


async def test_a_move_makes_the_new_one_first_and_the_old_machine_removes_the_old_one(cluster: Cluster) -> None:
    a, b = cluster.a, cluster.b
    tenant = await cluster.on(a, b)
    assert (await a.world.patch(at(b))).node == "b"
    # The owner on the old machine leaves it to the new one, and so do the supervisor's choices.
    async with a.world.owner(tenant, node="a") as owner:
        assert await owner.left() == "passivated"
    assert (await fleet.places(cluster.database, ["acme"], "test"))["acme"].node == "b"
    async with b.world.owner(tenant, node="b"):
        view = await b.world.until(tenant, lambda v: waits_for(v, Reason.OTHER_NODE))
        assert "node a removes landlord-acme" in str(said(view, ConditionType.WAITING))
        assert (view.tenant.status, view.tenant.observed.node) == (Status.UPDATING, "b")
        assert await a.world.instances() == [(1, 1, "running")]
        assert await b.world.instances() == [(2, 1, "running")]
        await a.swept()
        view = await b.world.settled(tenant, Status.READY, 2)
        assert said(view, ConditionType.WAITING) is None
    assert await a.world.instances() == []
    assert await b.world.instances() == [(2, 1, "running")]


async def test_a_move_that_fails_leaves_the_old_one_at_work(cluster: Cluster) -> None:
    a, b = cluster.a, cluster.b
    tenant = await cluster.on(a, b)
    refused = spec("2", refuses="no room").model_copy(update={"placement": PlacementSpec(node="b")})
    await a.world.patch(refused)
    async with b.world.owner(tenant, node="b") as owner:
        assert await owner.left() == "passivated"  # what serves is kept by its own machine
    view = await a.world.until(tenant, lambda v: v.tenant.status is Status.FAILED)
    assert await b.world.instances() == []
    async with a.world.owner(tenant, node="a") as owner:
        owner.hurry()
        assert await owner.left() == "passivated"
    assert await a.world.instances() == [(1, 1, "running")]
    assert view.tenant.observed.node == "a"


async def test_a_lost_machine_is_told_then_replaced_and_what_it_held_goes_when_it_is_back(cluster: Cluster) -> None:
    a, b, c = cluster.a, cluster.b, cluster.c
    tenant = await cluster.on(b, a, c)
    await cluster.living(a, c)
    assert await nodes.silent_nodes(cluster.database, 300.0) == {"b": False}
    assert [one.node for one in await resting_on(cluster.database, ["b", "c"])] == ["b"]
    async with a.world.owner(tenant, node="a"):
        view = await a.world.until(tenant, lambda v: v.tenant.status is Status.DEGRADED)
        healthy = said(view, ConditionType.HEALTHY)
        assert healthy is not None
        assert healthy.reason == Reason.NODE_LOST
        assert healthy.message.startswith("node b has not answered since")
        assert (view.execution.run, await a.world.instances(), await c.world.instances()) == (1, [], [])
    await cluster.silent_for(b, 301)
    assert await nodes.silent_nodes(cluster.database, 300.0) == {"b": True}
    async with a.world.owner(tenant, node="a"):
        view = await a.world.until(tenant, lambda v: v.execution.run == 2)
    place = (await fleet.places(cluster.database, ["acme"], "test"))["acme"]
    assert place.node in ("a", "c")
    taker = a if place.node == "a" else c
    async with taker.world.owner(tenant, node=taker.name):
        view = await taker.world.settled(tenant, Status.READY, 1)
        assert (view.tenant.observed.node, view.execution.run) == (taker.name, 2)
    assert await taker.world.instances() == [(1, 2, "running")]
    assert await b.world.instances() == [(1, 1, "running")]
    assert await fleet.due(cluster.database, "test") == []
    # It comes back: what it still holds is left over.
    await cluster.living(a, b, c)
    await b.swept()
    assert await b.world.instances() == []
    assert await taker.world.instances() == [(1, 2, "running")]


async def test_a_replacement_that_fails_again_and_again_is_given_up(cluster: Cluster) -> None:
    a, b = cluster.a, cluster.b
    tenant = await cluster.on(b, a)
    await cluster.living(a)
    await cluster.silent_for(b, 301)
    a.world.cloud.script("create", *["refuses"] * 100)
    async with a.world.owner(tenant, max_attempts=1, node="a") as owner:
        await a.world.until(tenant, lambda v: v.execution.run == 6 and v.execution.state.terminal)
        owner.hurry()
        assert await owner.left() == "passivated"
    view = await a.world.until(tenant, lambda v: v.tenant.status is Status.DEGRADED)
    assert view.execution.run == 6
    assert await a.world.instances() == []


async def test_a_machine_that_is_back_within_the_grace_has_its_tenants_back(cluster: Cluster) -> None:
    a, b = cluster.a, cluster.b
    tenant = await cluster.on(b, a)
    await cluster.living(a)
    async with a.world.owner(tenant, node="a") as owner:
        await a.world.until(tenant, lambda v: v.tenant.status is Status.DEGRADED)
        await cluster.living(a, b)
        owner.mailbox.mark_dirty()
        assert await owner.left() == "passivated"
    async with b.world.owner(tenant, node="b"):
        view = await b.world.settled(tenant, Status.READY, 1)
        assert view.execution.run == 1
    assert await b.world.instances() == [(1, 1, "running")]
    assert await a.world.instances() == []


async def test_a_machine_that_goes_to_another_cluster_takes_its_tenants_along(cluster: Cluster) -> None:
    a, b = cluster.a, cluster.b
    tenant = await cluster.on(b, a)
    await cluster.living(a)
    async with a.world.owner(tenant, node="a") as owner:
        await a.world.until(tenant, lambda v: v.tenant.status is Status.DEGRADED)
        await nodes.saw(cluster.database, "another", [b.seen])
        await cluster.living(a)
        owner.mailbox.mark_dirty()
        assert await owner.left() == "passivated"
    # The supervisor of the cluster that it has left starts no owner, also for what is to be done.
    locations = Locations(pinned=True, known=lambda: [Node("id-a", "a", "10.0.0.1", True, True, {}, joined=True)])
    locations.look()
    locations.of_others = await nodes.of_others(cluster.database, "test", ["a"])
    await b.world.patch(spec("2"))
    place = (await fleet.places(cluster.database, ["acme"], "test"))["acme"]
    assert (place.node, locations.takes(place)) == ("b", False)
    async with b.world.owner(tenant, node="b"):
        await b.world.settled(tenant, Status.READY, 2)
    assert await b.world.instances() == [(2, 1, "running")]
    assert await a.world.instances() == []


async def test_a_delete_waits_for_a_silent_machine_and_goes_on_without_a_lost_one(cluster: Cluster) -> None:
    a, b = cluster.a, cluster.b
    tenant = await cluster.on(b, a)
    await cluster.living(a)
    await a.world.delete()
    async with a.world.owner(tenant, node="a"):
        await a.world.until(tenant, lambda v: waits_for(v, Reason.NODE_LOST))
    await cluster.silent_for(b, 301)
    async with a.world.owner(tenant, node="a") as owner:
        assert await owner.left() == "deleted"
    assert await b.world.instances() == [(1, 1, "running")]
    await cluster.living(a, b)
    await b.swept()
    assert await b.world.instances() == []


async def test_what_was_queued_for_a_lost_machine_goes_to_another(cluster: Cluster) -> None:
    a, b = cluster.a, cluster.b
    await cluster.living(a, b)
    await cluster.living(b)  # so that it is chosen
    tenant = await a.world.create(spec("1"))
    assert (await fleet.places(cluster.database, ["acme"], "test"))["acme"].node == "b"
    await cluster.living(a)
    await cluster.silent_for(b, 301)
    async with a.world.owner(tenant, node="a"):
        view = await a.world.settled(tenant, Status.READY, 1)
        assert view.tenant.observed.node == "a"
    assert await b.world.instances() == []


async def test_what_a_lost_machine_was_making_is_made_anew_and_its_rest_goes_when_it_is_back(cluster: Cluster) -> None:
    a, b = cluster.a, cluster.b
    await cluster.living(b)
    tenant = await b.world.create(spec("1"))
    b.world.failpoints.mkdir(parents=True)
    async with b.world.held("apply_compute.before_record") as reached, b.world.owner(tenant, node="b"):
        await b.world.until(tenant, lambda v: reached.exists())
    # Its owner is dead, and what it had made is not even on record.
    assert len(await b.world.instances()) == 1
    await cluster.living(a)
    await cluster.silent_for(b, 301)
    async with a.world.owner(tenant, node="a"):
        view = await a.world.settled(tenant, Status.READY, 1)
        assert (view.tenant.observed.node, view.execution.run) == ("a", 2)
    async with cluster.database.connect() as connection:
        query = text("SELECT state, superseded_by IS NOT NULL AS by_another FROM executions ORDER BY run")
        assert [tuple(row) for row in await connection.execute(query)] == [("superseded", True), ("succeeded", False)]
    await cluster.living(a, b)
    await b.swept()
    assert await b.world.instances() == []
    assert await a.world.instances() == [(1, 2, "running")]


async def test_an_outpost_finds_the_drift_of_its_own_tenants_alone(cluster: Cluster) -> None:
    a, b = cluster.a, cluster.b
    await cluster.on(b, a)
    (instance,) = b.world.cloud.instances()
    await b.world.cloud.destroy(instance.id)
    assert await a.swept() == []
    assert await b.swept() == ["acme"]
