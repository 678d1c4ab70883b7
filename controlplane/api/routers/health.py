"""Is this process up; can the installation work."""

import asyncio
from collections.abc import Awaitable, Callable

from fastapi import APIRouter
from sqlalchemy import text
from starlette.responses import Response

from controlplane.api.mutations import JSON
from controlplane.api.openapi_parts import answers
from controlplane.api.problem import problem_response
from controlplane.api.replica import Here, Replica
from controlplane.api.routers.providers import health_of
from controlplane.api.schemas.installation import Alive, CheckOut, Readiness
from controlplane.persistence import fleet

router = APIRouter(tags=["health"])

_PATIENCE = 3.0


@router.get("/healthz", operation_id="get_health", responses=answers(Alive, status=200, public=True))
async def get_health() -> Alive:
    """This process is up."""
    return Alive()


@router.get(
    "/readyz",
    operation_id="get_readiness",
    response_model=Readiness,
    responses=answers(Readiness, "not_ready", status=200, public=True),
)
async def get_readiness(here: Here) -> Response:
    """Database, Ray and the supervisor are good; 503 says which is not, and why."""
    looks: dict[str, Callable[[Replica], Awaitable[CheckOut]]] = {
        "database": _database,
        "ray": _ray,
        "supervisor": _supervisor,
    }
    found = await asyncio.gather(*(_in_time(look(here)) for look in looks.values()))
    healths = await asyncio.gather(*(health_of(provider) for provider in here.compute.values()))
    checks = dict(zip(looks, found, strict=True))
    readiness = Readiness(
        ready=all(check.ok for check in found),
        checks=checks,
        providers={
            name: CheckOut(ok=health.healthy, detail=health.detail)
            for name, health in zip(here.compute, healths, strict=True)
        },
    )
    if readiness.ready:
        return Response(readiness.model_dump_json(), media_type=JSON)
    reasons = "; ".join(f"{name}: {check.detail}" for name, check in checks.items() if not check.ok)
    return problem_response("not_ready", reasons, headers={"Retry-After": "2"}, members=readiness.model_dump())


async def _in_time(look: Awaitable[CheckOut]) -> CheckOut:
    try:
        async with asyncio.timeout(_PATIENCE):
            return await look
    except TimeoutError:
        return CheckOut(ok=False, detail=f"no answer within {_PATIENCE:g} s")
    except Exception as error:
        # The class says enough: messages of drivers hold addresses and statements.
        return CheckOut(ok=False, detail=f"no answer ({type(error).__name__})")


async def _database(here: Replica) -> CheckOut:
    async with here.database.connect() as connection:
        await connection.execute(text("SELECT 1"))
    return CheckOut(ok=True, detail="answers")


async def _ray(here: Replica) -> CheckOut:
    health = await here.directory.ray_health()
    return CheckOut(ok=health.healthy, detail=health.detail or ("answers" if health.healthy else "does not answer"))


async def _supervisor(here: Replica) -> CheckOut:
    """Its heartbeat row is younger than three sweeps and a grace."""
    async with here.database.connect() as connection:
        seconds = await fleet.last_beat(connection)
    if seconds is None:
        return CheckOut(ok=False, detail="it has not reported yet")
    limit = 3 * here.settings.sweep_seconds + 15
    return CheckOut(ok=seconds < limit, detail=f"reported {seconds:.0f} s ago")
