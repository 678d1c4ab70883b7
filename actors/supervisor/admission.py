"""The live tenant actors of this cluster, and the admission of further ones. Work waits durably; it never fails."""

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
"""Connections kept for Serve replicas, the supervisor, step workers and people."""

ACTIVATIONS_AT_ONCE = max(4, 2 * (os.cpu_count() or 1))
"""Actors that are being started at once. A burst is served one after the other, so that not all of it is late."""

WAKE_SECONDS = 30.0


def ceiling(max_connections: int, memory_bytes: int | None = None) -> int:
    """min(memory, database connections − reserve), at least 1. `memory_bytes`: the machine's; a quarter is kept for
    everything else."""
    memory = psutil.virtual_memory().total if memory_bytes is None else memory_bytes
    by_memory = int(memory * 0.75) // ACTOR_BYTES
    by_connections = (max_connections - RESERVED_CONNECTIONS) // CONNECTIONS_PER_ACTOR
    return max(1, min(by_memory, by_connections))


class Admission:
    """Starts actors under the ceiling, and holds a call open on each live one.

    Promises: no more actors are started than the ceiling allows. If one leaves or dies, that is noticed at once. If the
    ceiling has refused a tenant, each live actor is asked, once, to leave as soon as it is at rest, and `room` is
    called when one has left. Nothing breaks it lastingly: live actors that are found later are held as well.
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
        """`where`: from `nodes.where`. `died`: called with the name of a tenant whose actor has died."""
        self.live: dict[str, asyncio.Task[None]] = {}
        """Name → the call held open on its actor."""
        self.ceiling = 0
        """The number of actors that may live; 0 until the first activation."""
        self._database = database
        self._directory = directory
        self._tasks = tasks
        self._where = where
        self._died = died
        self._room = room
        self._activating = asyncio.Semaphore(ACTIVATIONS_AT_ONCE)
        self._making_room: set[str] = set()
        """The live actors that were asked to leave as soon as they are at rest."""
        self._turned_away = False
        """True if the ceiling has refused a tenant. When an actor leaves, due tenants are then searched at once."""

    async def admit(self, name: str) -> bool:
        """Create the tenant's actor, or find it. Returns once its process answers or has ended. False: the ceiling is
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
        """Kill a live actor. The call held open on it then returns, and the next sweep finds the due work."""
        with suppress(ValueError):
            ray.kill(ray.get_actor(tenant_actor(name), namespace=NAMESPACE))

    async def full(self) -> bool:
        """True if the ceiling is reached; then actors at rest are asked to leave. The ceiling is read at the first
        activation."""
        if self.ceiling == 0:
            self.ceiling = ceiling(await fleet.max_connections(self._database))
        if len(self.live) < self.ceiling:
            return False
        self._turned_away = True
        self._make_room()
        return True

    def ask_again(self) -> None:
        """Called by each sweep. While a tenant is refused, actors that did not hear the request are asked again."""
        if self._turned_away:
            self._making_room.clear()
            self._make_room()

    async def _started(self, name: str) -> None:
        """Wait until its process answers or has ended."""
        with suppress(ValueError, RayError, TimeoutError):
            actor = ray.get_actor(tenant_actor(name), namespace=NAMESPACE)
            await asyncio.wait_for(actor.ping.remote(), WAKE_SECONDS)

    async def _watch(self, name: str, actor: Any) -> None:
        """Returns when the actor leaves. Its death is noticed at once."""
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
        """Back-pressure: each live actor is asked to leave as soon as it is at rest, without waiting for its idle
        time."""
        for name in self.live.keys() - self._making_room:
            self._making_room.add(name)
            self._tasks.begin(self._directory.make_room(name), f"make room: {name}")
