"""SupervisorActor: the safety net. Named `supervisor`, detached, restarted for ever.

It admits activations, sweeps rows and resources every `LANDLORD_SWEEP_SECONDS`, and hears of due work by NOTIFY. The
sweep is the guarantee, NOTIFY and the calls it holds open on live actors are speed.
"""

import asyncio
import json
import logging
import os
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any
from uuid import UUID

import ray
from ray.exceptions import RayError
from ray.util import list_named_actors

from actors import nodes
from actors.admission import ceiling
from actors.directory import RayDirectory
from actors.naming import NAMESPACE, SUPERVISOR, name_of_tenant, tenant_actor
from actors.options import for_supervisor, for_tenant
from actors.runtime import Runtime, build_runtime
from actors.shared import SharedState
from actors.supervisor.engines import Engines
from actors.supervisor.queue import Priority, WakeQueue
from actors.supervisor.silent import SilentOwners
from actors.supervisor.sweep import Sweep
from actors.tenant.actor import TenantActor
from actors.visible_steps import VisibleStepRunner
from controlplane.persistence import fleet, leases
from controlplane.persistence.fleet import TenantKey
from controlplane.persistence.listen import listen
from controlplane.persistence.transaction import WAKE_CHANNEL

logger = logging.getLogger(__name__)

SIGNAL_GRACE_SECONDS = 0.25
"""The API wakes the actor itself in the same moment: the net is held a little later, off the path of a 202."""

WAKES_AT_ONCE = 8
"""Wake-ups under way at once: cold ones start processes, and a machine has few cores."""

ACTIVATIONS_AT_ONCE = max(4, 2 * (os.cpu_count() or 1))
"""Actors that are being started at once: a burst is served one after the other, not all of it late."""

WAKE_SECONDS = 30.0

STAGE_SECONDS = 120.0
"""For one stage of a sweep: what hangs is given up, and the next stage begins."""

Stages = dict[str, Callable[[], Awaitable[int]]]


class Supervisor:
    """Brings back what the API could not start or what drifted.

    Promises: each stage of a sweep is caught, timed, counted and bounded, and those that ask only rows and actors do
    not wait for platforms and engines; a tenant that is due is woken within one sweep, in the order of priority with
    ageing; two wake-ups of one tenant under way are one; no more actors live than the ceiling says; actors of another
    build leave as soon as they are at rest.
    What breaks it: nothing lasting; a new one starts from the rows and from Ray's list of names.
    """

    async def __init__(self) -> None:  # type: ignore[misc]  # Ray awaits it
        self._runtime: Runtime = build_runtime(
            actor=SUPERVISOR, run_step=VisibleStepRunner(), pool=5, share=SharedState
        )
        self._where = nodes.where(self._runtime.settings)
        self._directory = RayDirectory()
        self._live: dict[str, asyncio.Task[None]] = {}
        self._activating = asyncio.Semaphore(ACTIVATIONS_AT_ONCE)
        self._making_room: set[str] = set()
        """Of the live ones: those that were told to leave as soon as they are at rest."""
        self._inspected: set[str] = set()
        """Of the live ones at the last sweep: those whose build was asked for."""
        self._turned_away = False
        """The ceiling has kept somebody out: when an actor leaves, those that are due are looked for at once."""
        self._queue = WakeQueue()
        self._waking: set[UUID] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._again = (asyncio.Event(), asyncio.Event())
        self._report: dict[str, Any] = {}
        self._ceiling = 0
        self._draining = False
        self._sweep = Sweep(self._runtime, self._nominate, self._live)
        of_rows: Stages = {
            "heartbeat": self._beat,
            "actors": self._adopt,
            "owners": SilentOwners(self._runtime.database, self._cluster_id, self._live, self._end).look,
            "due": self._sweep.due,
            "retention": self._sweep.retention,
        }
        of_platforms: Stages = {
            "resources": self._sweep.resources,
            "probes": self._sweep.probes,
            "engines": Engines(self._runtime).look,
        }
        for stages, again in zip((of_rows, of_platforms), self._again, strict=True):
            self._begin(self._sweeps(stages, again), f"sweeps: {', '.join(stages)}")
        self._begin(listen(self._runtime.database, WAKE_CHANNEL, self._heard, self._sweep_now), "listener")
        for number in range(WAKES_AT_ONCE):
            self._begin(self._wakes(), f"waker {number}")

    def __repr__(self) -> str:
        return SUPERVISOR

    async def ping(self) -> str:
        return "pong"

    async def activate(self, name: str) -> bool:
        """Create the tenant's actor, or find it. False: not now (the ceiling is reached, this cluster drains, another
        one owns the tenant); the intent is durable and waits."""
        if name in self._live:
            return True
        if self._draining or await fleet.owned_elsewhere(self._runtime.database, name, self._cluster_id):
            return False
        async with self._activating:
            if name not in self._live:
                if await self._full():
                    return False
                self._hold(name)
                await self._started(name)
        return True

    async def live(self) -> list[str]:
        """Names of the tenants whose actors live in this cluster."""
        return sorted(self._live)

    async def describe(self) -> dict[str, Any]:
        """For operators: live tenants, the queue, the last sweep's stages (seconds, count, error), build and pid."""
        return {
            "pid": os.getpid(),
            "build": self._runtime.identity.build,
            "cluster_id": self._cluster_id,
            "draining": self._draining,
            "live": sorted(self._live),
            "ceiling": self._ceiling,
            "queued": len(self._queue),
            "orphans": self._sweep.orphans.ids,
            "sweep": self._report,
        }

    @property
    def _cluster_id(self) -> str:
        return self._runtime.identity.cluster_id

    # --- live actors ---

    def _hold(self, name: str) -> None:
        """Create or find the actor, and keep a call open on it."""
        if name not in self._live:
            actor = TenantActor.options(**for_tenant(name, self._where)).remote(name)
            self._live[name] = self._begin(self._watch(name, actor), f"watch {name}")

    async def _started(self, name: str) -> None:
        """Until its process answers, or has ended."""
        with suppress(ValueError, RayError, TimeoutError):
            actor = ray.get_actor(tenant_actor(name), namespace=NAMESPACE)
            await asyncio.wait_for(actor.ping.remote(), WAKE_SECONDS)

    async def _watch(self, name: str, actor: Any) -> None:
        """Returns when the actor leaves; its death is noticed at once and calls for a sweep."""
        try:
            await actor.until_leaving.remote()
        except RayError:
            self._sweep.died(name)
            self._sweep_now()
        finally:
            self._live.pop(name, None)
            self._making_room.discard(name)
            if self._turned_away:
                self._turned_away = False
                self._begin(self._stage("due", self._sweep.due), "there is room")

    def _end(self, name: str) -> None:
        """Kill a live actor; the call held open on it then returns, and what is due is found by the next sweep."""
        with suppress(ValueError):
            ray.kill(ray.get_actor(tenant_actor(name), namespace=NAMESPACE))

    async def _full(self) -> bool:
        """As many live as may. Then those at rest are asked to leave. The ceiling is read when the first one comes."""
        if self._ceiling == 0:
            self._ceiling = ceiling(await fleet.max_connections(self._runtime.database))
        if len(self._live) < self._ceiling:
            return False
        self._turned_away = True
        self._make_room()
        return True

    def _make_room(self) -> None:
        """Back-pressure: each live actor is told, once, to leave as soon as it is at rest, not after its idle time."""
        for name in self._live.keys() - self._making_room:
            self._making_room.add(name)
            self._begin(self._directory.make_room(name), f"make room: {name}")

    # --- waking ---

    def _nominate(self, tenant: TenantKey, priority: Priority) -> None:
        if tenant.id not in self._waking:
            self._queue.put(tenant, priority, time.monotonic())

    async def _wakes(self) -> None:
        """One of the wakers: the next in line, again and again; cannot die."""
        while True:
            tenant = await self._queue.get()
            if tenant.id in self._waking:
                continue
            self._waking.add(tenant.id)
            try:
                if not await self._wake(tenant):
                    self._sweep.not_woken(tenant)
            except Exception:
                logger.exception("waking %s failed", tenant.name)
            finally:
                self._waking.discard(tenant.id)

    async def _wake(self, tenant: TenantKey) -> bool:
        """False: there is no room for its actor, or it did not answer."""
        if tenant.name not in self._live:
            if await fleet.deleted_among(self._runtime.database, [tenant.id]):
                return True  # it waited in the queue for so long that all is done
            if await self._full():
                return False
        woken = await self._directory.wake(tenant.name, tenant.id, timeout=WAKE_SECONDS)
        return woken.outcome == "started"

    def _heard(self, payload: str) -> None:
        signal = json.loads(payload)
        self._begin(self._after_grace(TenantKey(UUID(signal["tenant_id"]), signal["name"])), "heard")

    async def _after_grace(self, tenant: TenantKey) -> None:
        await asyncio.sleep(SIGNAL_GRACE_SECONDS)
        self._nominate(tenant, Priority.CLIENT)

    # --- sweeps ---

    def _sweep_now(self) -> None:
        for again in self._again:
            again.set()

    async def _sweeps(self, stages: Stages, again: asyncio.Event) -> None:
        """One sweep after the other, at most `sweep_seconds` apart; cannot die."""
        while True:
            again.clear()
            for name, stage in stages.items():
                await self._stage(name, stage)
            with suppress(TimeoutError):
                await asyncio.wait_for(again.wait(), self._runtime.settings.sweep_seconds)

    async def _stage(self, name: str, stage: Callable[[], Awaitable[int]]) -> None:
        began = time.monotonic()
        outcome: dict[str, Any] = {"error": None}
        try:
            async with asyncio.timeout(STAGE_SECONDS):
                outcome["count"] = await stage()
        except Exception as error:
            logger.exception("stage %s of the sweep failed", name)
            outcome["error"] = type(error).__name__
        outcome["seconds"] = round(time.monotonic() - began, 3)
        self._report[name] = outcome

    async def _beat(self) -> int:
        detail = {"live": len(self._live), "build": self._runtime.identity.build, "pid": os.getpid()}
        await fleet.beat(self._runtime.database, SUPERVISOR, self._cluster_id, detail)
        self._draining = await leases.draining(self._runtime.database, self._cluster_id)
        return 1

    async def _adopt(self) -> int:
        """Actors that live and that this supervisor, having been restarted, does not know yet. One without a tenant
        leaves by itself."""
        named = list_named_actors(all_namespaces=True)
        names = (name_of_tenant(actor["name"]) for actor in named if actor["namespace"] == NAMESPACE)
        tenants = {name for name in names if name is not None}
        for tenant in tenants:
            self._hold(tenant)
        for tenant in tenants - self._inspected:
            self._begin(self._replace(tenant), f"replace: {tenant}")
        self._inspected = tenants
        return len(tenants)

    async def _replace(self, name: str) -> None:
        """One that runs other code than this: it finishes what it does and leaves; who is due comes back by this."""
        build = await self._directory.build(name)
        if build is not None and build != self._runtime.identity.build:
            logger.info("the actor of %s is of build %s and leaves as soon as it is at rest", name, build)
            await self._directory.make_room(name)

    def _begin(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        """A background task that is kept until it is done."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


SupervisorActor = ray.remote(Supervisor)


def ensure_supervisor() -> Any:
    """The supervisor's handle; created where there is none. Blocks for some milliseconds."""
    return SupervisorActor.options(**for_supervisor()).remote()
