"""Wakes the nominated tenants, in the order of the queue."""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from actors.directory import RayDirectory
from actors.supervisor.admission import WAKE_SECONDS, Admission
from actors.supervisor.queue import Priority, WakeQueue
from actors.supervisor.tasks import Tasks
from controlplane.persistence import fleet
from controlplane.persistence.fleet import TenantKey

logger = logging.getLogger(__name__)

SIGNAL_GRACE_SECONDS = 0.25
"""The API wakes the actor itself at the same moment, so the supervisor waits a little, off the path of a 202."""

WAKES_AT_ONCE = 8
"""Wake-ups under way at once: cold ones start processes, and a machine has few cores."""


class Waker:
    """Promises: tenants are woken in the order of priority with ageing; two wake-ups of one tenant under way are one.
    If a wake-up fails, the sweep nominates the tenant again."""

    def __init__(self, database: AsyncEngine, directory: RayDirectory, admission: Admission, tasks: Tasks) -> None:
        self._database = database
        self._directory = directory
        self._admission = admission
        self._tasks = tasks
        self._queue = WakeQueue()
        self._waking: set[UUID] = set()

    @property
    def queued(self) -> int:
        """The number of waiting tenants."""
        return len(self._queue)

    @property
    def busy(self) -> bool:
        """True if a tenant waits or is being woken."""
        return bool(self._queue or self._waking)

    def start(self, not_woken: Callable[[TenantKey], None]) -> None:
        """Start waking. `not_woken`: called with each tenant whose wake-up failed."""
        for number in range(WAKES_AT_ONCE):
            self._tasks.begin(self._wakes(not_woken), f"waker {number}")

    def nominate(self, tenant: TenantKey, priority: Priority) -> None:
        if tenant.id not in self._waking:
            self._queue.put(tenant, priority, time.monotonic())

    def heard(self, payload: str) -> None:
        """Handle a signal by NOTIFY: nominate its tenant a little later."""
        signal = json.loads(payload)
        self._tasks.begin(self._after_grace(TenantKey(UUID(signal["tenant_id"]), signal["name"])), "heard")

    async def _after_grace(self, tenant: TenantKey) -> None:
        await asyncio.sleep(SIGNAL_GRACE_SECONDS)
        self.nominate(tenant, Priority.CLIENT)

    async def _wakes(self, not_woken: Callable[[TenantKey], None]) -> None:
        """One of the wakers: it wakes the next tenant in line, for ever. It cannot die."""
        while True:
            tenant = await self._queue.get()
            if tenant.id in self._waking:
                continue
            self._waking.add(tenant.id)
            try:
                if not await self._wake(tenant):
                    not_woken(tenant)
            except Exception:
                logger.exception("waking %s failed", tenant.name)
            finally:
                self._waking.discard(tenant.id)

    async def _wake(self, tenant: TenantKey) -> bool:
        """Wake one tenant. False: there is no room for its actor, or it did not answer."""
        if tenant.name not in self._admission.live:
            if await fleet.deleted_among(self._database, [tenant.id]):
                return True  # it waited in the queue so long that all work is done
            if await self._admission.refuses(tenant.name):
                return False
        woken = await self._directory.wake(tenant.name, tenant.id, timeout=WAKE_SECONDS)
        return woken.outcome == "started"
