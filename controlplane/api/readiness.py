"""Whether the installation can work, from one replica's last look."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, cast

from fastapi import Depends, Request

from controlplane.api.provider_health import ProviderWatch
from controlplane.api.remembered import Remembered
from controlplane.api.replica import Replica
from controlplane.api.schemas.installation import CheckOut
from controlplane.persistence import clusters, compatibility
from controlplane.ports import ProviderHealth

SECONDS = 1.0
"""Database and Ray are asked only this often, for any number of requests."""
PROVIDER_SECONDS = 5.0
PROVIDER_PATIENCE = 0.5
LISTED_PATIENCE = 1.5
"""For the list of providers, which answers within two seconds."""
_PATIENCE = 3.0


class Looks:
    """Made with the replica, on its loop."""

    def __init__(self, here: Replica) -> None:
        start = here.background.start
        self._checks = Remembered(partial(_look, here), seconds=SECONDS, start=start)
        self._providers = {name: ProviderWatch(provider, start=start) for name, provider in here.compute.items()}

    async def checks(self) -> dict[str, CheckOut]:
        """`database`, `ray` and `supervisor`. Their texts are ours, and name no address."""
        return await self._checks.get()

    async def providers(self, *, details: bool) -> dict[str, CheckOut]:
        """The last known health of the providers. None is waited for long, since none decides. Their texts name
        addresses and accounts; without `details` they are left out."""
        found = await self._healths(PROVIDER_PATIENCE, PROVIDER_SECONDS)
        return {
            name: CheckOut(ok=health.healthy, detail=health.detail if details else "") for name, health in found.items()
        }

    async def healths(self) -> dict[str, ProviderHealth]:
        """The health of the providers, asked now. Answers within two seconds, whatever they do."""
        return await self._healths(LISTED_PATIENCE, 0.0)

    async def _healths(self, patience: float, seconds: float) -> dict[str, ProviderHealth]:
        asked = (watch.get(patience=patience, seconds=seconds) for watch in self._providers.values())
        return dict(zip(self._providers, await asyncio.gather(*asked), strict=True))


async def of(request: Request) -> Looks:
    return cast(Looks, request.app.state.looks)


Known = Annotated[Looks, Depends(of)]
"""A route's parameter: what this replica knows of the installation."""


async def _look(here: Replica) -> dict[str, CheckOut]:
    looks: dict[str, Callable[[Replica], Awaitable[CheckOut]]] = {
        "database": _database,
        "ray": _ray,
        "supervisor": _supervisor,
    }
    found = await asyncio.gather(*(_in_time(look(here)) for look in looks.values()))
    return dict(zip(looks, found, strict=True))


async def _in_time(look: Awaitable[CheckOut]) -> CheckOut:
    try:
        async with asyncio.timeout(_PATIENCE):
            return await look
    except TimeoutError:
        return CheckOut(ok=False, detail=f"no answer within {_PATIENCE:g} s")
    except Exception as error:
        # Only the class: messages of drivers hold addresses and statements.
        return CheckOut(ok=False, detail=f"no answer ({type(error).__name__})")


async def _database(here: Replica) -> CheckOut:
    wrong = await compatibility.trouble(here.database)
    return CheckOut(ok=wrong is None, detail=wrong or "answers")


async def _ray(here: Replica) -> CheckOut:
    health = await here.directory.ray_health()
    return CheckOut(ok=health.healthy, detail=health.detail or ("answers" if health.healthy else "does not answer"))


async def _supervisor(here: Replica) -> CheckOut:
    """Ready if the supervisor of this cluster, and not of another one, has swept within three sweeps and a grace."""
    async with here.database.connect() as connection:
        seconds = await clusters.last_beat(connection, here.parts.cluster_id)
    if seconds is None:
        return CheckOut(ok=False, detail="it has not reported yet")
    limit = 3 * here.settings.sweep_seconds + 15
    return CheckOut(ok=seconds < limit, detail=f"reported {seconds:.0f} s ago")
