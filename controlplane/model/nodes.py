"""Which machine can act on what, and which one is lost. Pure."""

from collections.abc import Collection, Sequence
from datetime import datetime

from controlplane.model.rows import Node


def away(name: str | None, own: str | None, nodes: Sequence[Node]) -> Node | None:
    """The other machine to which something belongs that is on the node `name`, in our cluster or in another one on this
    database: only a process there can act on it. None: it is ours to act on, or nobody's.

    A head that is gone is none: its platforms are found by their identity, under whatever name the machine has now."""
    if name is None or own is None or name == own:
        return None
    named = {node.name: node for node in nodes}
    here, there = named.get(own), named.get(name)
    if here is None or there is None or _are_one(here, there):
        return None
    return None if there.head and not there.alive else there


def of_others(nodes: Sequence[Node], cluster_id: str, living: Collection[str]) -> set[str]:
    """The names of the machines that live in other clusters. `living`: names of our own. A machine with a node in each
    of two clusters is ours too."""
    ours = [node for node in nodes if node.name in living]
    return {
        node.name
        for node in nodes
        if node.alive
        and node.cluster_id != cluster_id
        and node.name not in living
        and not any(_are_one(node, one) for one in ours)
    }


def _are_one(one: Node, other: Node) -> bool:
    """Two nodes are one machine if they share a platform."""
    return bool(one.platforms.items() & other.platforms.items())


def left_of_grace(node: Node, now: datetime, grace: float | None) -> float | None:
    """Seconds until a dead node counts as lost for good: 0 or less, it does. None: it never will."""
    return None if grace is None else grace - (now - node.since).total_seconds()


def is_lost(node: Node, now: datetime, grace: float | None) -> bool:
    """It has been dead for so long that it counts as lost for good. Should it come back, what it holds is left over."""
    left = left_of_grace(node, now, grace)
    return not node.alive and left is not None and left <= 0


def silent(node: Node) -> str:
    return f"node {node.name} has not answered since {node.since:%Y-%m-%dT%H:%M:%SZ}"
