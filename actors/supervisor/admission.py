"""Which tenants' actors live in this cluster, and who else may come: work waits durably, it never fails."""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psutil
import ray
from ray.exceptions import RayError
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.directory import RayDirectory
from actors.naming import NAMESPACE, tenant_actor
from actors.options import CONNECTIONS_PER_ACTOR, for_tenant
from actors.supervisor.tasks import Tasks
from actors.tenant.actor import TenantActor
from controlplane.persistence import fleet

ACTOR_BYTES = 100 * 2**20
"""An actor is a process: 94 MB resident on stock Ray, measured."""

RESERVED_CONNECTIONS = 40
"""For Serve replicas, the supervisor, step workers, people."""

ACTIVATIONS_AT_ONCE = max(4, 2 * (os.cpu_count() or 1))
"""Actors that are being started at once: a burst is served one after the other, not all of it late."""

WAKE_SECONDS = 30.0


def ceiling(max_connections: int, memory_bytes: int | None = None) -> int:
    """min(memory, database connections − reserve), at least 1. `memory_bytes`: of the machine; a quarter is kept back
    for everything else."""
    memory = psutil.virtual_memory().total if memory_bytes is None else memory_bytes
    by_memory = int(memory * 0.75) // ACTOR_BYTES
    by_connections = (max_connections - RESERVED_CONNECTIONS) // CONNECTIONS_PER_ACTOR
    return max(1, min(by_memory, by_connections))


class Admission:
    """Starts actors under the ceiling, and holds a call open on each that lives.

    Promises: no more actors are started than the ceiling says; one that leaves or dies is noticed at once; while the
    ceiling keeps somebody out, each live one is told in each sweep to leave as soon as it is at rest, and `room` is
    called when one has left. What breaks it: nothing lasting; whoever is found to live later is held as well.
    """

    def __init__(
        self,
        database: AsyncEngine,
        directory: RayDirectory,
        tasks: Tasks,
        where: dict[str, Any],
        *,
        died: Callable[[str], None],
        room: Callable[[], None],
    ) -> None:
        """`where`: as `nodes.where` says. `died`: called with the name of a tenant whose actor has died."""
        self.live: dict[str, asyncio.Task[None]] = {}
        """Name → the call held open on its actor."""
        self.ceiling = 0
        """How many may live; 0 until the first one comes."""
        self._database = database
        self._directory = directory
        self._tasks = tasks
        self._where = where
        self._died = died
        self._room = room
        self._activating = asyncio.Semaphore(ACTIVATIONS_AT_ONCE)
        self._making_room: set[str] = set()
        """Of the live ones: those that were told to leave as soon as they are at rest."""
        self._turned_away = False
        """The ceiling has kept somebody out: when an actor leaves, those that are due are looked for at once."""

    async def admit(self, name: str) -> bool:
        """Create its actor, or find it; returns once its process answers or has ended. False: the ceiling is
        reached."""
        async with self._activating:
            if name not in self.live:
                if await self.full():
                    return False
                self.hold(name)
                await self._started(name)
        return True

    def hold(self, name: str) -> None:
        """Create or find the actor, and keep a call open on it."""
        if name not in self.live:
            actor = TenantActor.options(**for_tenant(name, self._where)).remote(name)
            self.live[name] = self._tasks.begin(self._watch(name, actor), f"watch {name}")

    def end(self, name: str) -> None:
        """Kill a live actor; the call held open on it then returns, and what is due is found by the next sweep."""
        with suppress(ValueError):
            ray.kill(ray.get_actor(tenant_actor(name), namespace=NAMESPACE))

    async def full(self) -> bool:
        """As many live as may. Then those at rest are asked to leave. The ceiling is read when the first one comes."""
        if self.ceiling == 0:
            self.ceiling = ceiling(await fleet.max_connections(self._database))
        if len(self.live) < self.ceiling:
            return False
        self._turned_away = True
        self._make_room()
        return True

    def ask_again(self) -> None:
        """Called by each sweep: while somebody is kept out, a word that an actor did not hear is said again."""
        if self._turned_away:
            self._making_room.clear()
            self._make_room()

    async def _started(self, name: str) -> None:
        """Until its process answers, or has ended."""
        with suppress(ValueError, RayError, TimeoutError):
            actor = ray.get_actor(tenant_actor(name), namespace=NAMESPACE)
            await asyncio.wait_for(actor.ping.remote(), WAKE_SECONDS)

    async def _watch(self, name: str, actor: Any) -> None:
        """Returns when the actor leaves; its death is noticed at once."""
        try:
            await actor.until_leaving.remote()
        except RayError:
            self._died(name)
        finally:
            self.live.pop(name, None)
            self._making_room.discard(name)
            if self._turned_away:
                self._turned_away = False
                self._room()

    def _make_room(self) -> None:
        """Back-pressure: each live actor is told to leave as soon as it is at rest, not after its idle time."""
        for name in self.live.keys() - self._making_room:
            self._making_room.add(name)
            self._tasks.begin(self._directory.make_room(name), f"make room: {name}")
