"""The nodes on which tenants' actors are started: each actor runs where its tenant's platform is, or nowhere."""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from actors import nodes
from actors.nodes import AT_HEAD, Node
from controlplane.persistence.fleet import Place


class Locations:
    """What the supervisor knows of the cluster's nodes: what Ray says, and the platforms that each has.

    Without a provider whose resources live on one machine, actors run anywhere. Else an actor runs on the node that
    holds its tenant's resource, or that was chosen for the execution that is to make one. If that node is dead, its
    owner runs on the head: it acts on no platform of the other node, and says that the tenant waits for it."""

    def __init__(self, *, pinned: bool, known: Callable[[], Sequence[Node]] = nodes.known) -> None:
        """`pinned`: from `nodes.where`: something is of one machine."""
        self.pinned = pinned
        self.platforms: dict[str, Mapping[str, str | None]] = {}
        """Node's name → what it says of its platforms: identity by provider."""
        self.found: Sequence[Node] = ()
        self.draining: Collection[str] = ()
        """Names of the nodes that get no actors."""
        self.of_others: Collection[str] = ()
        """Names of the machines that live in other clusters of this database: their tenants are theirs."""
        self._known = known

    def look(self) -> Sequence[Node]:
        """Ask Ray. Blocks for some milliseconds."""
        self.found = self._known()
        return self.found

    @property
    def outposts(self) -> int:
        """The number of living machines, besides the head, that have one."""
        return sum(self.has_outpost(node) for node in self.found)

    def has_outpost(self, node: Node) -> bool:
        return self.pinned and node.alive and node.joined and not node.head

    def of(self, place: Place | None) -> tuple[dict[str, Any], str | None]:
        """The options of an actor for it, and the name of the node that it will run on; None: any, or not known."""
        if not self.pinned and not self.draining:
            return {}, None
        node = (self._node(place) if self.pinned else None) or self._any()
        return (AT_HEAD, None) if node is None else (nodes.at(node), node.name if self.pinned else None)

    def takes(self, place: Place | None) -> bool:
        """Whether an actor may be started for it: not on a node that drains, unless the tenant is deleted there; and
        not for what a machine of another cluster has to do."""
        if self.pinned and place is not None and place.node in self.of_others:
            return False
        node = (self._node(place) if self.pinned else None) or self._any()
        return node is None or node.name not in self.draining or (place is not None and place.deleted)

    def _any(self) -> Node | None:
        """The head; while that drains, another one of ours; if all do, the head."""
        able = [node for node in self.found if node.alive and node.name not in self.draining]
        fit = [node for node in able if node.head] or [node for node in able if node.joined]
        return next(iter(fit or [node for node in self.found if node.head]), None)

    def cores(self, node: str | None) -> int:
        """Of the node of that name; None: of all that live. This machine's, if Ray does not say."""
        told = [one.cpus for one in self.found if one.alive and one.cpus and (node is None or one.name == node)]
        return max(1, int(sum(told))) if told else os.cpu_count() or 1

    def _node(self, place: Place | None) -> Node | None:
        if place is None:
            return None
        alive = [node for node in self.found if node.alive]
        named = next((node for node in alive if node.name == place.node), None)
        if named is not None or place.platform_identity is None:
            return named
        # Its machine has another name now.
        return next((node for node in alive if self._has(node, place)), None)

    def _has(self, node: Node, place: Place) -> bool:
        return self.platforms.get(node.name, {}).get(place.platform) == place.platform_identity
