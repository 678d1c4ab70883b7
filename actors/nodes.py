"""The nodes of the cluster on which our processes may run.

`process`, `docker` on a local socket and the embedded Postgres belong to one machine: the head's. With any of them
every process of ours that touches compute or rows is pinned there, so that nothing changes if a second node joins.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from controlplane.errors import SettingsError
from controlplane.local.node import NAME_LABEL, resource_of
from controlplane.persistence.address import address
from controlplane.settings import Settings
from providers import registry

HEAD = "node:__internal_head__"
"""A resource that Ray gives to the head node, one unit of it."""
SHARE = 0.0001
"""The share of it that one process takes: Ray's smallest."""
AT_HEAD: dict[str, Any] = {"resources": {HEAD: SHARE}}
RAYS_OWN = "ray.io/"
"""Labels that Ray gives by itself begin so."""


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the cluster, as Ray knows it. `id`: Ray's own, another one each time that the machine joins.
    `labels`: those that an operator gave."""

    id: str
    name: str
    address: str
    alive: bool
    head: bool
    labels: Mapping[str, str]
    cpus: float | None = None
    """None: Ray does not say, since it is dead."""
    joined: bool = False
    """It was started by `landlord`, so actors of ours can run there."""


def where(settings: Settings) -> dict[str, Any]:
    """Options of an actor or a replica. Raises SettingsError for an unknown provider."""
    return AT_HEAD if _one_machine(settings) else {}


def on(name: str) -> dict[str, Any]:
    """Options of an actor or a replica that runs on the node of this name, and waits while the cluster has none."""
    return {"resources": {resource_of(name): SHARE}}


def at(node: Node) -> dict[str, Any]:
    """Options of an actor that runs on this node or nowhere: unlike `on`, it is refused once the node is dead. Else it
    would keep its name until another node of that name came."""
    return AT_HEAD if node.head else {"scheduling_strategy": NodeAffinitySchedulingStrategy(node.id, soft=False)}


def here() -> str | None:
    """The name of the node that this process runs on. Blocks for some milliseconds. None: outside of a cluster."""
    if not ray.is_initialized():
        return None
    own = ray.get_runtime_context().get_node_id()
    return next((node.name for node in known() if node.id == own), None)


def refuse_several(settings: Settings, nodes: int) -> None:
    """Raises SettingsError if the database is this machine's own and the cluster has more than one node."""
    if nodes > 1 and _socket_database(settings):
        raise SettingsError(
            f"LANDLORD_DATABASE_URL: the embedded Postgres serves one node and this cluster has {nodes};"
            " set it to a Postgres that every node reaches"
        )


def alive() -> Mapping[str, int]:
    """How many machines of the cluster are `alive`, and how many `dead` ones Ray remembers. Blocks for some
    milliseconds. Outside of a cluster there are none."""
    if not ray.is_initialized():  # else the question would start one
        return {}
    states = [bool(node["Alive"]) for node in ray.nodes()]  # type: ignore[no-untyped-call]
    return {"alive": states.count(True), "dead": states.count(False)}


def known() -> list[Node]:
    """The nodes of the cluster, see `of_ray`. Blocks for some milliseconds. Outside of a cluster there are none."""
    return of_ray(ray.nodes()) if ray.is_initialized() else []  # type: ignore[no-untyped-call]


def of_ray(table: Iterable[Mapping[str, Any]]) -> list[Node]:
    """The head first, then by name. A dead node is listed once, and only until one with its name and address is
    alive."""
    living: list[Node] = []
    dead: dict[tuple[str, str], Node] = {}
    for row in table:
        node = _node(row)
        if node.alive:
            living.append(node)
        else:
            dead[node.name, node.address] = node
    for node in living:
        dead.pop((node.name, node.address), None)
    return sorted([*living, *dead.values()], key=lambda node: (not node.head, node.name, node.address, node.id))


def _node(row: Mapping[str, Any]) -> Node:
    """The name is that of its label. A node without one that was given no name by Ray either bears its address as its
    name: the machine's own name says more."""
    address = str(row["NodeManagerAddress"])
    labels = row.get("Labels", {})
    given = str(labels.get(NAME_LABEL) or row.get("NodeName") or address)
    return Node(
        id=str(row["NodeID"]),
        name=given if given != address else str(row.get("NodeManagerHostname") or address),
        address=address,
        alive=bool(row["Alive"]),
        head=HEAD in row.get("Resources", {}),
        cpus=row.get("Resources", {}).get("CPU"),
        joined=any(name.startswith(resource_of("")) for name in row.get("Resources", {})),
        labels={key: text for key, text in labels.items() if key != NAME_LABEL and not key.startswith(RAYS_OWN)},
    )


def _one_machine(settings: Settings) -> bool:
    return _socket_database(settings) or registry.one_node(settings)


def _socket_database(settings: Settings) -> bool:
    if settings.database_url is None:
        return False
    return address(settings.database_url.get_secret_value()).on_this_machine
