"""What belongs to a tenant on other machines of the cluster. Only a process there can act on it: the sweep of that
machine removes what is left over, and the steps here wait for that."""

from collections.abc import Iterable, Sequence

from controlplane.errors import NotAvailableYet, WaitsFor
from controlplane.model import Node, Placement
from controlplane.model.nodes import away, is_lost, silent
from controlplane.ports import Clock, ExecutionStore, RunContext

LOOK_AGAIN = 1.0
"""Seconds after which a step asks again whether another machine has removed something."""
LOST_AGAIN = 5.0
"""The same, while that machine does not answer."""


class Elsewhere:
    """Tells what is on the machine of these steps from what is on others.

    Promises: nothing on another machine is acted on, and none is taken for lost before its grace is over."""

    def __init__(self, store: ExecutionStore, clock: Clock, node: str | None, grace: float | None) -> None:
        """`node`: the one that these steps run on; None: there is one machine. `grace`: seconds after which a dead one
        is lost for good; None: never."""
        self._store = store
        self._clock = clock
        self._node = node
        self._grace = grace

    def here(self, context: RunContext, placements: Sequence[Placement]) -> Sequence[Placement]:
        """Those that these steps can act on."""
        if self._node is None:
            return placements
        return [placement for placement in placements if self._away(context, placement.node) is None]

    def require_here(self, context: RunContext) -> None:
        """Raises NotAvailableYet if the execution is to run on another machine."""
        there = self._away(context, context.execution.node)
        if there is not None:
            raise _not_yet(there, f"it is to run on node {there.name}")

    async def settled(self, context: RunContext, placements: Iterable[Placement]) -> None:
        """Returns once none of these is left on another machine that may still have it. On a machine that is lost for
        good they are recorded as abandoned: should it come back, its sweep removes them. Raises NotAvailableYet."""
        if self._node is None:
            return
        for placement in placements:
            there = self._away(context, placement.node)
            if there is None:
                continue
            if not is_lost(there, self._clock.now(), self._grace):
                raise _not_yet(there, f"node {there.name} removes {placement.name}")
            await self._store.abandoned(placement.execution_id)

    def _away(self, context: RunContext, node: str | None) -> Node | None:
        return away(node, self._node, context.nodes)


def _not_yet(node: Node, what: str) -> NotAvailableYet:
    if node.alive:
        return NotAvailableYet(what, delay=LOOK_AGAIN, waits_for=WaitsFor.OTHER_NODE)
    return NotAvailableYet(silent(node), delay=LOST_AGAIN, waits_for=WaitsFor.NODE_LOST)
