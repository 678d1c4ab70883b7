"""What bounds a large fleet, from unit costs: `python -m benchmarks.scale_model` prints the tables of
docs/design/large-fleets.md.

A burst is simulated: executions pass through queues, first come, first served. Who waits holds its actor's place, as an
owner does that has work. Station by station:

    a place (the ceiling of live actors) → the supervisor → the GCS → and, for each transaction that writes events,
    a core of any machine → the lock of events → after the last one, the place is free

What is at rest is arithmetic: a share of the time or the size of what it loads.
"""

import heapq
import itertools
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

SUPERVISOR, GCS, CORES, EVENTS = "supervisor", "GCS", "cores", "events"
ONE = (SUPERVISOR, GCS, EVENTS)
"""The stations that serve one execution at a time."""
MACHINES = (1, 3, 10, 100, 1_000)
BURST = 5_000
QUICK_TURN = 0.001
"""Seconds: of a server whose disk acknowledges at once."""
TENANTS = (10_000, 100_000, 1_000_000)
DAY = 86_400
RESERVE, PER_ACTOR = 57, 1
"""Database connections of everything but actors, and of one actor."""

_Way = Iterator[tuple[str, float]]


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds and bytes, measured on two cores; docs/design/large-fleets.md says of each by what."""

    turn: float = 0.004
    """The lock of events in one transaction: a commit that waits for the disk."""
    turns: int = 10
    """Such transactions of a provision, that of the intent included."""
    log: int = 28_000
    """Write-ahead log of a provision."""
    cores: float = 0.9
    """Of the machines' processors in a provision: the actor's process, its work, and the platform's."""
    supervisor: float = 0.033
    gcs: float = 0.035
    resting: float = 41e-6
    """Of the supervisor, for each tenant at rest, in a sweep; a sixth of the minute's reading of all is in it."""
    probe: float = 1.4e-3
    """Of the supervisor, in one HTTP probe."""
    sweep_every: float = 10.0
    probe_every: float = 30.0
    stored: int = 3_100
    """A tenant's rows and indexes, without its events."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """`machines` of `cores` processors and `memory` bytes each, one database with `connections`."""

    machines: int
    cores: int = 16
    memory: int = 64 * 2**30
    connections: int = 5_000

    @property
    def places(self) -> int:
        """The ceiling of live actors, as the supervisor counts it on each machine."""
        by_memory = self.machines * int(self.memory * 0.75) // (100 * 2**20)
        return max(1, min(by_memory, (self.connections - RESERVE) // PER_ACTOR))


@dataclass(frozen=True, slots=True)
class Burst:
    """`seconds` until the last of `executions` has ended; `busy`: share of that time in which each station worked."""

    executions: int
    seconds: float
    busy: dict[str, float]

    @property
    def rate(self) -> float:
        return self.executions / self.seconds

    @property
    def bound(self) -> str:
        return max(self.busy, key=lambda name: self.busy[name])


def burst(fleet: Fleet, executions: int, costs: Costs) -> Burst:
    """All of them are due at once."""
    free = dict.fromkeys(ONE, 1) | {CORES: fleet.machines * fleet.cores}
    worked = dict.fromkeys(free, 0.0)
    waiting: dict[str, deque[tuple[_Way, float]]] = {name: deque() for name in free}
    now, order = 0.0, itertools.count()
    ends: list[tuple[float, int, str, _Way]] = []

    def serve(name: str, way: _Way, seconds: float) -> None:
        free[name] -= 1
        worked[name] += seconds
        heapq.heappush(ends, (now + seconds, next(order), name, way))

    def arrive(way: _Way) -> bool:
        """False: it has been everywhere."""
        if (step := next(way, None)) is None:
            return False
        name, seconds = step
        if free[name]:
            serve(name, way, seconds)
        else:
            waiting[name].append((way, seconds))
        return True

    outside = max(0, executions - fleet.places)
    for _ in range(executions - outside):
        arrive(_way(costs))
    while ends:
        now, _, name, way = heapq.heappop(ends)
        free[name] += 1
        if waiting[name]:
            serve(name, *waiting[name].popleft())
        if not arrive(way) and outside:
            outside -= 1
            arrive(_way(costs))
    of = dict.fromkeys(ONE, 1) | {CORES: fleet.machines * fleet.cores}
    return Burst(executions, now, {name: worked[name] / (now * of[name]) for name in of})


def _way(costs: Costs) -> _Way:
    """The stations of one execution once it has a place, and the seconds in each."""
    yield SUPERVISOR, costs.supervisor
    yield GCS, costs.gcs
    for _ in range(costs.turns):
        yield CORES, costs.cores / costs.turns
        yield EVENTS, costs.turn


def bursts(costs: Costs) -> str:
    """As a table: the same burst with more and more machines, with the measured lock of events and with a quick one."""
    slow, quick = costs.turn, QUICK_TURN
    rows = []
    for machines in MACHINES:
        fleet = Fleet(machines)
        found = [burst(fleet, BURST, replace(costs, turn=turn)) for turn in (slow, quick)]
        told = " | ".join(f"{one.rate:.0f}/s | {one.bound}" for one in found)
        alone = machines * fleet.cores / costs.cores
        rows.append(f"| {machines:,} | {fleet.places:,} | {alone:,.0f}/s | {told} |")
    turns = " | ".join(f"turn of {turn * 1000:g} ms | bound by" for turn in (slow, quick))
    head = f"| machines | live actors | their cores alone | {turns} |"
    return "\n".join([head, "|---|---|---|---|---|---|---|", *rows])


def at_rest(costs: Costs) -> str:
    """As a table: what a fleet costs one cluster and its database."""
    rows = []
    for tenants in TENANTS:
        sweep, probe = tenants * costs.resting / costs.sweep_every, tenants * costs.probe / costs.probe_every
        daily = tenants * costs.turns * costs.turn / DAY
        rows.append(
            f"| {tenants:,} | {sweep:.0%} | {probe:.0%} | {tenants * costs.stored / 1e9:.2g} GB | {daily:.1%}"
            f" | {tenants * costs.log / 1e9:.2g} GB |"
        )
    head = "| tenants | sweep | HTTP probes | rows | events, each tenant changed once a day | their log a day |"
    return "\n".join([head, "|---|---|---|---|---|---|", *rows])


def largest_cell(costs: Costs, share: float = 0.5) -> int:
    """Tenants at rest, each with an HTTP probe, that take this share of one supervisor's processor."""
    return int(share / (costs.resting / costs.sweep_every + costs.probe / costs.probe_every))


def main() -> int:
    print(bursts(Costs()), at_rest(Costs()), f"a cell: {largest_cell(Costs()):,} tenants", sep="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
