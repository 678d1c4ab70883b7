"""Where actors run when a second node joins: on the head, as long as anything of theirs is of one machine."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from actors.nodes import AT_HEAD, refuse_several, where
from controlplane.errors import SettingsError
from controlplane.settings import Settings

TWO_NODES = """
import ray
from ray.cluster_utils import Cluster
import ray.util.scheduling_strategies
from actors import nodes
from actors.naming import SUPERVISOR
from actors.nodes import AT_HEAD
from actors.operator import Operator
from actors.options import for_tenant
from actors.supervisor.node_list import tenants_actors

class Node:
    def id(self):
        return ray.get_runtime_context().get_node_id()

    def describe(self):
        return {"tenant_id": None, "doing": [], "pid": 1, "build": None, "node": self.id()}

    def make_room(self):
        ray.actor.exit_actor()

class Supervisor:
    # Of a sweep a while ago.

    def describe(self):
        return {"live": [f"t{n}" for n in range(4)] + [f"a{n}" for n in range(2)]}

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
other = cluster.add_node(num_cpus=4, labels={"disk": "ssd"})
ray.init(address=cluster.address, namespace="landlord")
actor = ray.remote(Node)
pinned = [actor.options(**for_tenant(f"t{n}", AT_HEAD)).remote() for n in range(4)]
seen = set(ray.get([one.id.remote() for one in pinned]))
found = nodes.known()
spread = [ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(other.node_id, soft=False) for _ in range(2)]
away = [actor.options(**for_tenant(f"a{n}", {"scheduling_strategy": where})).remote() for n, where in enumerate(spread)]
ray.get([one.id.remote() for one in away])
print("known", [node.head for node in found], [node.labels for node in found], {node.alive for node in found})
print("actors", [tenants_actors()[node.id] for node in found])
print("nodes", len(ray.nodes()), "pinned to the head", seen == {cluster.head_node.node_id})
supervisor = ray.remote(Supervisor).options(name=SUPERVISOR).remote()
left = Operator().drain(other.node_id[:12], timeout=60)
print("drained", left, [actor.name for actor in Operator().actors()])
ray.shutdown()
cluster.shutdown()
"""


@pytest.mark.cluster
@pytest.mark.timeout(120)
def test_actors_are_placed_counted_and_drained_by_their_node() -> None:
    """A pinned tenant stays on the head when a node joins. Who drains a node dismisses its actors and no others."""
    done = subprocess.run([sys.executable, "-c", TWO_NODES], capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-4:] == [
        "known [True, False] [{}, {'disk': 'ssd'}] {True}",
        "actors [4, 2]",
        "nodes 2 pinned to the head True",
        "drained [] ['t0', 't1', 't2', 't3']",
    ]


OUTPOST = """
import asyncio
import os
import ray
from ray.cluster_utils import Cluster
from actors import nodes
from actors.options import for_tenant
from actors.supervisor.locations import Locations
from actors.supervisor.outpost import Outposts
from controlplane.local.build import build_id
from controlplane.persistence.fleet import Place

class Where:
    def id(self):
        return ray.get_runtime_context().get_node_id()

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "resources": {"machine:a": 1}})
other = cluster.add_node(num_cpus=1, resources={"machine:b": 1}, labels={"landlord/node": "b"})
ray.init(address=cluster.address, namespace="landlord")
locations = Locations(pinned=True)
found = locations.look()
print("nodes", [(node.name, node.head, node.joined) for node in found if not node.head], locations.outposts)

async def said():
    outposts, answer = Outposts(build_id()), {}
    while not all(answer.get("b", {"process": None}).values()):
        answer = await outposts.look([node for node in found if locations.has_outpost(node)])
    handle, sweep = ray.get_actor("outpost:b", namespace="landlord"), {}
    while "resources" not in sweep:
        sweep = (await handle.describe.remote())["sweep"]
    return answer, sweep["resources"]["error"]

platforms, trouble = asyncio.run(said())
print("platforms", {name: sorted(one) for name, one in platforms.items()}, trouble)
options, node = locations.of(Place("process", False, True, False, "b", None))
actor = ray.remote(Where).options(**for_tenant("t", options)).remote()
print("placed on", node, ray.get(actor.id.remote()) == other.node_id)
ray.shutdown()
cluster.shutdown()
"""


@pytest.mark.cluster
@pytest.mark.timeout(180)
async def test_a_joined_machine_has_an_outpost_and_its_tenants_actors(database_url: str, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "LANDLORD_HOME": str(tmp_path),
        "LANDLORD_DATABASE_URL": database_url,
        "LANDLORD_COMPUTE_PROVIDERS": "process",
        "LANDLORD_INTERNAL_CLUSTER_ID": "test",
    }
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", OUTPOST],
        capture_output=True,
        text=True,
        check=False,
        timeout=160,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-3:] == [
        "nodes [('b', False, True)] 1",
        "platforms {'b': ['process']} None",
        "placed on b True",
    ]


@pytest.mark.parametrize(
    ("providers", "url", "pinned"),
    [
        ("process", "postgresql://db.internal/landlord", True),
        ("fake,docker", "postgresql://db.internal/landlord", True),
        ("fake,ecs", "postgresql://db.internal/landlord", False),
        ("fake,ecs", "postgresql://root@/landlord?host=/run/landlord/pg", True),
    ],
)
def test_what_is_of_one_machine_pins(tmp_path: Path, providers: str, url: str, pinned: bool) -> None:
    settings = Settings.model_validate({"home": tmp_path, "compute_providers": providers, "database_url": url})
    assert where(settings) == (AT_HEAD if pinned else {})


def test_the_embedded_database_is_refused_in_a_cluster_of_several(tmp_path: Path) -> None:
    def settings(url: str) -> Settings:
        return Settings.model_validate({"home": tmp_path, "compute_providers": "ecs", "database_url": url})

    embedded, reached = "postgresql://root@/landlord?host=/run/landlord/pg", "postgresql://db.internal/landlord"
    refuse_several(settings(embedded), 1)
    refuse_several(settings(reached), 2)
    with pytest.raises(SettingsError, match="LANDLORD_DATABASE_URL: the embedded Postgres serves one node"):
        refuse_several(settings(embedded), 2)
