"""Which machine of a cluster can act on what, and which one is lost. Pure."""

from collections.abc import Sequence
from datetime import datetime

from controlplane.model.rows import Node


def away(name: str | None, own: str | None, nodes: Sequence[Node]) -> Node | None:
    """The other node of our cluster to which something belongs that is on the node `name`: only a process there can act
    on it. None: it is ours to act on, or nobody's.

    A head that is gone is none: its platforms are found by their identity, under whatever name the machine has now."""
    if name is None or own is None or name == own:
        return None
    named = {node.name: node for node in nodes}
    here, there = named.get(own), named.get(name)
    if here is None or there is None or there.cluster_id != here.cluster_id:
        return None
    return None if there.head and not there.alive else there


def left_of_grace(node: Node, now: datetime, grace: float | None) -> float | None:
    """Seconds until a dead node counts as lost for good: 0 or less, it does. None: it never will."""
    return None if grace is None else grace - (now - node.since).total_seconds()


def is_lost(node: Node, now: datetime, grace: float | None) -> bool:
    """It has been dead for so long that it counts as lost for good. Should it come back, what it holds is left over."""
    left = left_of_grace(node, now, grace)
    return not node.alive and left is not None and left <= 0


def silent(node: Node) -> str:
    return f"node {node.name} has not answered since {node.since:%Y-%m-%dT%H:%M:%SZ}"
