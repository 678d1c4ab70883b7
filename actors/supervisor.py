"""SupervisorActor: the safety net. Named `supervisor`, detached, restarted for ever.

It admits activations, sweeps rows and resources every `LANDLORD_SWEEP_SECONDS`, and hears of due work by NOTIFY. The
sweep is the guarantee, NOTIFY and the calls it holds open on live actors are speed.
"""

import asyncio
import json
import logging
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import ray
from ray.exceptions import RayError

from actors.directory import RayDirectory
from actors.execution import VisibleStepRunner
from actors.naming import SUPERVISOR
from actors.options import for_supervisor, for_tenant
from actors.runtime import Runtime, build_runtime
from actors.sweep import Sweep
from actors.tenant import TenantActor
from controlplane.persistence import census
from controlplane.persistence.census import TenantKey
from controlplane.persistence.listen import listen
from controlplane.persistence.transaction import WAKE_CHANNEL

logger = logging.getLogger(__name__)

SIGNAL_GRACE_SECONDS = 0.25
"""The API wakes the actor itself in the same moment: the net is held a little later, off the path of a 202."""

WAKES_AT_ONCE = 8
"""Wake-ups under way at once: cold ones start processes, and a machine has few cores."""


class Supervisor:
    """Brings back what the API could not start or what drifted.

    Promises: each stage of a sweep is caught, timed and counted; a tenant that is due is woken within one sweep; two
    wake-ups of one tenant under way are one. What breaks it: nothing lasting; a new one starts from the rows.
    """

    async def __init__(self) -> None:  # type: ignore[misc]  # Ray awaits it
        self._runtime: Runtime = build_runtime(actor=SUPERVISOR, run_step=VisibleStepRunner(), pool=3)
        self._directory = RayDirectory()
        self._live: dict[str, asyncio.Task[None]] = {}
        self._waking: set[UUID] = set()
        self._wakes = asyncio.Semaphore(WAKES_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._again = asyncio.Event()
        self._report: dict[str, Any] = {}
        self._sweep = Sweep(self._runtime, self._nominate)
        self._begin(self._loop(), "sweeps")
        self._begin(listen(self._runtime.engine, WAKE_CHANNEL, self._heard, self._again.set), "listener")

    def __repr__(self) -> str:
        return SUPERVISOR

    async def ping(self) -> str:
        return "pong"

    async def activate(self, name: str) -> bool:
        """Create the tenant's actor, or find it. False: no more are admitted now; the intent is durable and waits."""
        if name not in self._live:
            actor = TenantActor.options(**for_tenant(name)).remote(name)
            self._live[name] = self._begin(self._watch(name, actor), f"watch {name}")
        return True

    async def describe(self) -> dict[str, Any]:
        """For operators: live tenants, the last sweep's stages (seconds, count, error), build and pid."""
        return {
            "pid": os.getpid(),
            "build": self._runtime.identity.build,
            "cluster_id": self._runtime.identity.cluster_id,
            "live": sorted(self._live),
            "sweep": self._report,
        }

    # --- live actors ---

    async def _watch(self, name: str, actor: Any) -> None:
        """A call held open on a live actor: it returns when the actor leaves and raises when it dies."""
        try:
            await actor.until_leaving.remote()
        except RayError:
            self._again.set()
        finally:
            self._live.pop(name, None)

    async def _nominate(self, tenant: TenantKey) -> None:
        """Wake it in the background; once while a wake-up of it is under way."""
        if tenant.id not in self._waking:
            self._waking.add(tenant.id)
            self._begin(self._wake(tenant), f"wake {tenant.name}")

    async def _wake(self, tenant: TenantKey) -> None:
        try:
            async with self._wakes:
                await self._directory.wake(tenant.name, tenant.id, timeout=30)
        finally:
            self._waking.discard(tenant.id)

    def _heard(self, payload: str) -> None:
        signal = json.loads(payload)
        self._begin(self._after_grace(TenantKey(UUID(signal["tenant_id"]), signal["name"])), "heard")

    async def _after_grace(self, tenant: TenantKey) -> None:
        await asyncio.sleep(SIGNAL_GRACE_SECONDS)
        await self._nominate(tenant)

    # --- sweeps ---

    async def _loop(self) -> None:
        """One sweep after the other, at most `sweep_seconds` apart; cannot die."""
        while True:
            self._again.clear()
            await self._stage("heartbeat", self._beat)
            await self._stage("due", self._sweep.due)
            await self._stage("resources", self._sweep.resources)
            try:
                await asyncio.wait_for(self._again.wait(), self._runtime.settings.sweep_seconds)
            except TimeoutError:
                continue

    async def _stage(self, name: str, stage: Callable[[], Awaitable[int]]) -> None:
        began = time.monotonic()
        outcome: dict[str, Any] = {"error": None}
        try:
            outcome["count"] = await stage()
        except Exception as error:
            logger.exception("stage %s of the sweep failed", name)
            outcome["error"] = type(error).__name__
        outcome["seconds"] = round(time.monotonic() - began, 3)
        self._report[name] = outcome

    async def _beat(self) -> int:
        await census.beat(
            self._runtime.engine,
            SUPERVISOR,
            self._runtime.identity.cluster_id,
            {"live": len(self._live), "build": self._runtime.identity.build, "pid": os.getpid()},
        )
        return 1

    def _begin(self, work: Any, name: str) -> "asyncio.Task[None]":
        """A background task that is kept until it is done."""
        task: asyncio.Task[None] = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


SupervisorActor = ray.remote(Supervisor)


def ensure_supervisor() -> Any:
    """The supervisor's handle; created where there is none. Blocks for some milliseconds."""
    return SupervisorActor.options(**for_supervisor()).remote()
