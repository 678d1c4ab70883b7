"""How many actors are started at once on each node: more while cores stand idle, fewer while work waits for them.

To start an actor takes a core for a while, and then its tenant's work takes one. If cores are idle meanwhile, the start
waits for something else, and others can begin beside it. If work waits for cores, another start makes all later.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from actors.pressure import Reading
from actors.supervisor.turns import Turns

BUSY, IDLE = 0.9, 0.6
"""Share of the time in which work waited for a core: from the first on, one start fewer at once; up to the second, one
more. Between them nothing changes."""

APART_SECONDS = 0.5
"""Two readings that are compared are at least so far apart."""

URGENT_AT_ONCE = 2
"""Deletes and heals have these to themselves, on each node: they do not wait behind a burst of new tenants."""


@dataclass(slots=True)
class _Lane:
    turns: Turns
    urgent: Turns = field(default_factory=lambda: Turns(URGENT_AT_ONCE))
    readings: dict[str, Reading] = field(default_factory=dict)
    """Of each machine the one that the next is compared with."""
    busy: bool = False


class Pace:
    """The turns of all nodes.

    Promises: on a node with n cores at least n starts go on at once, at most four times as many, and twice as many
    until something is known, or if its kernel does not count; as on two cores on a node with one. A reading comes with
    each start, so nothing is asked while nothing starts.
    """

    def __init__(self, cores: Callable[[str | None], int]) -> None:
        """`cores`: of the node of that name; of all for None, where actors may run anywhere."""
        self._cores = cores
        self._lanes: dict[str | None, _Lane] = {}

    @property
    def limits(self) -> dict[str, int]:
        """Starts at once, by node, of those on which some were begun."""
        return {node or "any": lane.turns.limit for node, lane in self._lanes.items()}

    def keep(self, nodes: Iterable[str]) -> None:
        """Forget all other nodes: they have left. Whoever waits for a turn there still gets it."""
        kept = {None, *nodes}
        self._lanes = {node: lane for node, lane in self._lanes.items() if node in kept}

    def busy(self, node: str | None) -> bool:
        """True if work there waited for a core nearly all the time, and since then never for less than most of it."""
        return self._lane(node).busy

    def turn(self, node: str | None, *, urgent: bool) -> AbstractAsyncContextManager[bool]:
        """A turn to start an actor there; see `Turns.take`."""
        lane = self._lane(node)
        return (lane.urgent if urgent else lane.turns).take()

    def heard(self, node: str | None, reading: Reading | None) -> None:
        """What an actor that was started there has read on its machine."""
        if reading is None:
            return
        lane = self._lane(node)
        before = lane.readings.get(reading["machine"])
        if before is None or reading["at"] < before["at"]:  # it has started anew
            lane.readings[reading["machine"]] = reading
            return
        passed = reading["at"] - before["at"]
        if passed < APART_SECONDS:
            return
        lane.readings[reading["machine"]] = reading
        share = (reading["waited"] - before["waited"]) / passed
        lane.busy = share > (IDLE if lane.busy else BUSY)
        change = -1 if share >= BUSY else 1 if share <= IDLE else 0
        cores = self._cores(node)
        lane.turns.limit = min(max(8, 4 * cores), max(2, cores, lane.turns.limit + change))

    def _lane(self, node: str | None) -> _Lane:
        if node not in self._lanes:
            self._lanes[node] = _Lane(Turns(max(4, 2 * self._cores(node))))
        return self._lanes[node]
