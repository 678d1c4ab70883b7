"""The node that runs a tenant: where its provider's resources live on one machine, one node is chosen for each
execution, before it acts. Pure.

A provider is bound to nodes if a node says that it has its platform. What is bound to none runs anywhere.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence

from controlplane.model import Node, NodeDrain, PlacementSpec, TenantSpec

IN_OWNER = frozenset({"embedded"})
"""Engines whose steps run in the tenant's owner, on any node. The steps of all others run on the head."""


def choose(
    nodes: Sequence[Node],
    spec: TenantSpec,
    engine: str,
    *,
    key: str,
    stays: str | None = None,
    without: Collection[str] = (),
    tenants: Mapping[str, int] | None = None,
) -> str | None:
    """The name of the node. None: the tenant is bound to none, or none is there for it.

    It stays where it is, even if that node is down, unless its spec wants another one, the node is among `without`, or
    it gives up its tenants. No tenant comes to a node that drains.
    Else it goes to the living node with the fewest `tenants` for its size. `key` decides between equals, so that many
    at once spread."""
    bound = has_platform(nodes, spec)
    if not bound:
        return None
    if len({node.cluster_id for node in bound if node.alive}) > 1 and spec.placement is None:
        return stays  # two clusters: whoever takes the tenant makes it on a machine of its own
    fit = [node for node in bound if node.name not in without and _admits(spec.placement, node)]
    fit = [node for node in fit if node.head or engine in IN_OWNER]
    if any(node.name == stays and node.drain is not NodeDrain.TENANTS for node in fit):
        return stays
    able = [node for node in fit if node.alive and node.drain is None]
    counted = tenants or {}

    def load(node: Node) -> tuple[float, str]:
        return (counted.get(node.name, 0) + 1) / max(node.cpus, 1.0), hashlib.sha256(
            f"{key}/{node.name}".encode()
        ).hexdigest()

    return min(able, key=load).name if able else None


def has_platform(nodes: Sequence[Node], spec: TenantSpec) -> list[Node]:
    """The nodes that have a platform of the spec's provider."""
    return [node for node in nodes if spec.compute.provider in node.platforms]


def obstacle(nodes: Sequence[Node], spec: TenantSpec, engine: str) -> tuple[str, bool] | None:
    """Why no node can take a tenant that wants this placement, in words that say what to do; and whether its spec is
    wrong about that: there is no such node. None: one can, or it wants none."""
    wanted = spec.placement
    if wanted is None:
        return None
    if not nodes:
        return "the supervisor has not said yet which nodes there are; try again in some seconds", False
    known = ", ".join(f"{node.name}{_shown(node.labels)}" for node in nodes)
    fit = [node for node in nodes if _admits(wanted, node)]
    if not fit:
        named = f"there is no node {wanted.node!r}" if wanted.node is not None else "no node has these labels"
        return f"{named}; the nodes are: {known}", True
    names = ", ".join(node.name for node in fit)
    with_platform = has_platform(fit, spec)
    if not with_platform:
        return f"{spec.compute.provider} does not answer on {names}, or is not enabled there", False
    living = [node for node in with_platform if node.alive]
    if not living:
        return f"{names} is down; start it again, or choose another of: {known}", False
    if all(node.drain is not None for node in living):
        return f"{names} is being drained; end that, or choose another of: {known}", False
    if engine not in IN_OWNER and not any(node.head for node in living):
        return f"the steps of {engine} run on the head, and {names} is not it; use the engine embedded", True
    return None


def _admits(wanted: PlacementSpec | None, node: Node) -> bool:
    return wanted is None or wanted.admits(node.name, node.labels)


def _shown(labels: Mapping[str, str]) -> str:
    return f" ({', '.join(f'{key}={value}' for key, value in sorted(labels.items()))})" if labels else ""
