"""name → live actor, for Serve replicas and the supervisor: wakes an actor, and activates one if there is none."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from uuid import UUID

from ray.exceptions import GetTimeoutError, RayActorError, RayError

from actors.counts import Counted
from actors.names import Names
from actors.naming import SUPERVISOR, tenant_actor
from actors.tenant.actor import as_wake
from controlplane.errors import Unavailable
from controlplane.ports import ProviderHealth, Wake

ACTIVATIONS = 3
"""If a wake-up meets a leaving or dead actor, it activates another one this often before it is `pending`."""

DESCRIBE_SECONDS = 5.0

LEAVING_PAUSE = 0.05
"""Seconds to wait until a leaving actor is gone."""


class RayDirectory:
    """`ports.TenantDirectory` on Ray's named actors.

    Keeps the handles it has met, and drops a dead one when it meets it again. Cold tenants are activated through the
    supervisor, which admits them under its ceiling. No answer in time is `pending`, since the intent is durable.
    """

    def __init__(self) -> None:
        self._handles: dict[str, Any] = {}
        self._names = Names()
        self._wakes = Counted("landlord_wakes", "Wake-ups of tenants, by whether an actor was there.", "actor")

    async def wake(
        self, name: str, tenant_id: UUID, execution_id: str | None = None, *, timeout: float | None = None
    ) -> Wake:
        give_up = time.monotonic() + timeout if timeout is not None else None
        try:
            return await asyncio.wait_for(self._wake(name, tenant_id, execution_id, give_up), timeout)
        except TimeoutError:
            return Wake("pending", "the tenant's actor did not answer in time")
        except (RayError, Unavailable) as error:
            return Wake("pending", f"the cluster does not answer ({type(error).__name__})")

    async def _wake(self, name: str, tenant_id: UUID, execution_id: str | None, give_up: float | None) -> Wake:
        for attempt in range(ACTIVATIONS):
            handle = await self._find(name)
            if attempt == 0:
                self._wakes.add("live" if handle is not None else "cold")
            if handle is None:
                if not await self._activate(name):
                    return Wake("pending", "the supervisor admits no more tenants at the moment")
                handle = await self._find(name)
            seconds = None if give_up is None else max(0.05, give_up - time.monotonic())
            try:
                wake = as_wake(await handle.wake.remote(str(tenant_id), execution_id, seconds)) if handle else None
            except RayActorError:
                wake = None
            if wake is not None:
                return wake
            self._handles.pop(name, None)
            await asyncio.sleep(LEAVING_PAUSE)
        return Wake("pending", "the tenant's actor keeps leaving")

    async def _find(self, name: str) -> Any:
        """The handle of a live actor, or None. Raises Unavailable."""
        if name not in self._handles:
            found = await self._names.find(tenant_actor(name))
            if found is None:
                return None
            self._handles[name] = found
        return self._handles[name]

    async def _activate(self, name: str) -> bool:
        """Ask the supervisor to create the actor. False: it admits no more, or there is none."""
        supervisor = await self._names.find(SUPERVISOR)
        return supervisor is not None and bool(await supervisor.activate.remote(name))

    async def make_room(self, name: str) -> None:
        """Ask a live actor to leave if it is at rest. If there is none, do nothing."""
        self._handles.pop(name, None)  # maybe the handle of an actor that has left, which would never answer
        with suppress(RayError, Unavailable):
            handle = await self._find(name)
            if handle is not None:
                await handle.make_room.remote()

    async def build(self, name: str) -> str | None:
        """The build of the code that a live actor runs. None: there is none, it does not answer, or it has nothing to
        do yet."""
        try:
            handle = await self._find(name)
            if handle is None:
                return None
            described = await asyncio.wait_for(handle.describe.remote(), DESCRIBE_SECONDS)
        except (RayError, TimeoutError, Unavailable):
            return None
        return str(described["build"]) if described["build"] else None

    def wakes(self) -> Mapping[str, int]:
        """Wake-ups since this process began, by what was there: `live` (an actor) or `cold` (none)."""
        return self._wakes.read()

    async def live(self) -> list[str]:
        """Names of the tenants with live actors in this cluster. Raises Unavailable."""
        supervisor = await self._names.find(SUPERVISOR)
        if supervisor is None:
            raise Unavailable("there is no supervisor actor")
        try:
            return list(await supervisor.live.remote())
        except RayError as error:
            raise Unavailable(f"the supervisor does not answer ({type(error).__name__})") from None

    async def ray_health(self) -> ProviderHealth:
        try:
            supervisor = await self._names.find(SUPERVISOR)
            if supervisor is None:
                return ProviderHealth(healthy=False, detail="there is no supervisor actor")
            await asyncio.wait_for(supervisor.ping.remote(), 2.0)
        except Unavailable as error:
            return ProviderHealth(healthy=False, detail=str(error))
        except (TimeoutError, GetTimeoutError, RayError) as error:
            return ProviderHealth(healthy=False, detail=f"the supervisor does not answer ({type(error).__name__})")
        return ProviderHealth(healthy=True)
