"""The live tenant actors of this cluster, and the admission of further ones. Work waits durably; it never fails."""

import asyncio
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager, suppress
from typing import Any

import psutil
import ray
from ray.exceptions import RayError
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.counts import Counted
from actors.directory import RayDirectory
from actors.naming import NAMESPACE, tenant_actor
from actors.options import CONNECTIONS_PER_ACTOR, OUTPOST_CONNECTIONS, for_tenant
from actors.pressure import Reading
from actors.supervisor.crowd import Crowd, most
from actors.supervisor.locations import Locations
from actors.supervisor.pace import Pace
from actors.supervisor.shares import Claim, Shares
from actors.supervisor.tasks import Tasks
from actors.tenant.actor import TenantActor
from controlplane.persistence import clusters, fleet
from controlplane.persistence.fleet import Place

ACTOR_BYTES = 100 * 2**20
"""An actor is a process: 94 MB resident on stock Ray, measured."""

RESTING_PER_CORE = 1
"""As many live actors for each core of a machine may rest there while others wait for a turn to start.

One that rests takes 0.95 % of a core, half of it for the hundred times a second that Ray's worker looks for signals.
A start takes about 0.2 s of one, so after 20 s a rest has cost what its return would."""

LOOKS_AT_ONCE = 4
"""Tenants whose rows are looked at at once: the supervisor has few connections."""

WAKE_SECONDS = 30.0

NAME_SECONDS = 2.0
"""A start waits so long for the name that an actor which leaves still has. It has it for some hundredths of a second,
unless a call in it hangs."""
NAME_PAUSE = 0.02

REASONS = frozenset({"deleted", "passivated", "lost", "failing", "failed", "lonely"})
"""Why an actor leaves. `lost`: another owner took its tenant, and the database refused its write."""
DIED = "died"
OTHER = "other"

NOBODYS = Claim("", urgent=True)
"""The claim of a tenant that has been deleted meanwhile: its actor leaves at once."""


def ceiling(max_connections: int, reserve: int, clusters: int = 1, memory_bytes: int | None = None) -> int:
    """min(memory, this cluster's share of the database connections − reserve), at least 1. `reserve`: from `reserved`;
    `clusters`: as many live on this database. `memory_bytes`: the machine's; a quarter is kept for everything else."""
    memory = psutil.virtual_memory().total if memory_bytes is None else memory_bytes
    by_memory = int(memory * 0.75) // ACTOR_BYTES
    by_connections = (max_connections // clusters - reserve) // CONNECTIONS_PER_ACTOR
    return max(1, min(by_memory, by_connections))


class Admission:
    """Starts actors under the ceiling, and holds a call open on each live one.

    Promises: no more actors are started than the ceiling allows, and none that takes a place which is kept for others
    (`shares`). If one leaves or dies, that is noticed at once. If a tenant was refused, each live actor is asked, once,
    to leave as soon as it is at rest, and `room` is called when one has left. If starts wait on a machine, its oldest
    actors are asked so too, but for a few. On a busy machine with many of them, a start waits until one has left, but
    not for long (`crowd`). An actor that has said that it leaves is not live, though its name stays taken until its
    process has ended: a start waits for that. Nothing breaks it lastingly: live actors that are found later are held as
    well.
    """

    def __init__(
        self,
        database: AsyncEngine,
        directory: RayDirectory,
        tasks: Tasks,
        locations: Locations,
        *,
        cluster_id: str,
        platforms: Collection[str],
        reserve: int,
        died: Callable[[str], None],
        room: Callable[[], None],
        activation: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """`platforms`: the enabled compute providers. `reserve`: connections that are not for actors. `died`: called
        with the name of a tenant whose actor has died. `activation`: entered for each activation."""
        self.live: dict[str, asyncio.Task[None]] = {}
        """Name → the call held open on its actor."""
        self._leaving: dict[str, Any] = {}
        """Name → the actor that has said that it leaves, and may have that name for some moments more."""
        self.activations = Counted("landlord_activations", "Tenant actors that were started or adopted.", "how")
        """Since this supervisor began: `cold`, or `adopted` from a supervisor before it."""
        self.departures = Counted("landlord_departures", "Tenant actors that have left, by why.", "reason")
        """Since this supervisor began."""
        self.ceiling = 0
        """The number of actors that may live; 0 until the first activation."""
        self._database = database
        self._directory = directory
        self._tasks = tasks
        self._locations = locations
        self._cluster_id = cluster_id
        self._platforms = platforms
        self.reserve = reserve
        """Connections that are not for actors."""
        self._claims: dict[str, Claim] = {}
        """What the live actors' places were taken for, as the rows say since."""
        self._crowd = Crowd()
        self._died = died
        self._room = room
        self._activation = activation
        self.pace = Pace(locations.cores)
        self._looking = asyncio.Semaphore(LOOKS_AT_ONCE)
        self._making_room: set[str] = set()
        """The live actors that were asked to leave as soon as they are at rest."""
        self._turned_away = False
        """True if a tenant was refused. When an actor leaves, due tenants are then searched at once."""

    async def admit(self, name: str) -> bool:
        """Create the tenant's actor, or find it. Returns once its process answers or has ended. False: there is no
        place for it, or another cluster owns the tenant."""
        with self._activation():
            return await self._admit(name)

    def hold(self, name: str, claim: Claim, place: Place | None, actor: Any, *, how: str) -> bool:
        """Keep a call open on the actor. `how`: the word under which it is counted. False: it leaves."""
        if name not in self.live:
            if self._leaving.get(name) == actor:
                return False
            self._leaving.pop(name, None)
            self.activations.add(how)
            self._crowd.come(name, self._locations.of(place)[1])
            self.live[name] = self._tasks.begin(self._watch(name, actor), f"watch {name}")
        self._claims[name] = claim
        return True

    def end(self, name: str) -> None:
        """Kill a live actor. The call held open on it then returns, and the next sweep finds the due work."""
        with suppress(ValueError):
            ray.kill(ray.get_actor(tenant_actor(name), namespace=NAMESPACE))

    async def refuses(self, name: str) -> bool:
        """True if there is no place for the tenant; then actors at rest are asked to leave. Also true if another
        cluster owns it, or its node drains."""
        place = await self._place(name)
        claim = _claim(place)
        return claim is None or not self._locations.takes(place) or not self._has_place(name, claim)

    async def adopt(self, names: Collection[str]) -> None:
        """Hold the live actors that were found, and learn what all of them have their places for now."""
        places = await fleet.places(self._database, names, self._cluster_id)
        self._leaving = {name: actor for name, actor in self._leaving.items() if name in names}
        for name in names:
            place = places.get(name)
            claim = Claim(place.platform, place.mends) if place else NOBODYS
            if name in self.live:
                self._claims[name] = claim
            elif name not in self._leaving:
                with suppress(ValueError):  # it has ended meanwhile
                    self.hold(name, claim, place, ray.get_actor(tenant_actor(name), namespace=NAMESPACE), how="adopted")

    async def measure(self) -> None:
        """Read the ceiling: clusters come and go, and share the connections of the database."""
        connections = await fleet.max_connections(self._database)
        reserve = self.reserve + OUTPOST_CONNECTIONS * self._locations.outposts
        self.ceiling = ceiling(connections, reserve, await clusters.live(self._database, self._cluster_id))

    def ask_again(self) -> None:
        """Called by each sweep. While a tenant is refused, actors that did not hear the request are asked again."""
        if self._turned_away:
            self._making_room.clear()
            self._make_room()

    async def _admit(self, name: str) -> bool:
        place = await self._place(name)
        claim = _claim(place)
        if claim is None:
            return name in self.live
        _, node = self._locations.of(place)
        left = self._leaving.get(name)
        async with self.pace.turn(node, urgent=claim.urgent) as waited:
            if await self._waited_for_others(node, claim) or waited:
                self._thin(node)
                place = await self._place(name)
                claim = _claim(place)
            if name in self.live:
                return True
            if self._leaving.get(name) not in (left, None):
                return False  # another one has begun meanwhile, seen all that this one was wanted for, and left
            if claim is None or not self._locations.takes(place) or not self._has_place(name, claim):
                return False
            if not await self._begun(name, claim, place):
                return False
            self.pace.heard(node, await self._started(name))
        return True

    async def _begun(self, name: str, claim: Claim, place: Place | None) -> bool:
        """Create the actor. While one that leaves has the name, wait; False: it has it for too long."""
        where, node = self._locations.of(place)
        tenant_id = str(place.tenant_id) if place and place.tenant_id else None
        for _ in range(round(NAME_SECONDS / NAME_PAUSE)):
            actor = TenantActor.options(**for_tenant(name, where)).remote(name, node, tenant_id)
            if self.hold(name, claim, place, actor, how="cold"):
                return True
            await asyncio.sleep(NAME_PAUSE)
        return False

    async def _waited_for_others(self, node: str | None, claim: Claim) -> bool:
        """Until so few live there that another start makes nothing later; False if that is so."""
        than = most(self._locations.cores(node), urgent=claim.urgent)
        if not self.pace.busy(node) or len(self._crowd.on(node)) < than:
            return False
        self._thin(node)
        await self._crowd.fewer(node, than)
        return True

    async def _place(self, name: str) -> Place | None:
        """None: the tenant has been deleted."""
        async with self._looking:
            if self.ceiling == 0:
                await self.measure()
            return (await fleet.places(self._database, [name], self._cluster_id)).get(name)

    def _has_place(self, name: str, claim: Claim) -> bool:
        held = [self._claims.get(one, NOBODYS) for one in self.live]
        if name in self.live or Shares(self.ceiling, self._platforms).admits(claim, held):
            return True
        self._turned_away = True
        self._make_room()
        return False

    async def _started(self, name: str) -> Reading | None:
        """Wait until its process answers, or has ended, or the actor has left. It says how busy its machine is."""
        watch = self.live.get(name)
        if watch is None:
            return None
        with suppress(ValueError, RayError):
            actor = ray.get_actor(tenant_actor(name), namespace=NAMESPACE)
            asked: asyncio.Future[Reading | None] = asyncio.ensure_future(actor.pressure.remote())
            try:
                # Whoever asks an actor that has left meanwhile gets no answer, and no error either.
                await asyncio.wait({asked, watch}, timeout=WAKE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                return asked.result() if asked.done() else None
            finally:
                asked.cancel()
        return None

    async def _watch(self, name: str, actor: Any) -> None:
        """Returns when the actor leaves. Its death is noticed at once."""
        try:
            left = await actor.until_leaving.remote()
            self._leaving[name] = actor
            self.departures.add(_reason(left))
        except RayError:
            self.departures.add(DIED)
            self._died(name)
        finally:
            self.live.pop(name, None)
            self._claims.pop(name, None)
            self._crowd.go(name)
            self._making_room.discard(name)
            if self._turned_away:
                self._turned_away = False
                self._room()

    def _make_room(self) -> None:
        """Back-pressure: each live actor is asked to leave as soon as it is at rest, without waiting for its idle
        time."""
        self._ask_to_leave(self.live)

    def _thin(self, node: str | None) -> None:
        """Those that rest on that node take its cores from those that wait for a turn there."""
        there = self._crowd.on(node)
        self._ask_to_leave(there[: max(0, len(there) - RESTING_PER_CORE * self._locations.cores(node))])

    def _ask_to_leave(self, names: Iterable[str]) -> None:
        for name in [one for one in names if one not in self._making_room]:
            self._making_room.add(name)
            self._tasks.begin(self._directory.make_room(name), f"make room: {name}")


def _claim(place: Place | None) -> Claim | None:
    """None: another live cluster owns the tenant. If no client's change is under way, then a finding brings it in: that
    is urgent too, for its owner may heal it."""
    if place is None:
        return NOBODYS
    return None if place.elsewhere else Claim(place.platform, place.mends or not place.unfinished)


def _reason(left: Any) -> str:
    """Why it left, in one of few words. An actor of an older build says its name only."""
    reason = left.get("reason") if isinstance(left, dict) else None
    return reason if reason in REASONS else OTHER
