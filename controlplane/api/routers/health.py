"""Two checks: this process is up; the installation can work."""

from fastapi import APIRouter
from starlette.responses import Response

from controlplane.api.mutations import JSON
from controlplane.api.openapi_parts import answers
from controlplane.api.problem import problem_response
from controlplane.api.readiness import Known
from controlplane.api.schemas.installation import Alive, Readiness
from controlplane.api.security import Anybody

router = APIRouter(tags=["health"])


_ALIVE = Alive().model_dump_json()


@router.get(
    "/healthz",
    operation_id="get_health",
    response_model=Alive,
    responses=answers(Alive, status=200, public=True),
)
async def get_health() -> Response:
    """Answer 200 while this process is up."""
    return Response(_ALIVE, media_type=JSON)


@router.get(
    "/readyz",
    operation_id="get_readiness",
    response_model=Readiness,
    responses=answers(Readiness, "not_ready", status=200, public=True),
)
async def get_readiness(looks: Known, token: Anybody) -> Response:
    """Answer 200 if database, Ray and the supervisor are ready; else 503, which says which one is not, and why. The
    answer is at most a second old."""
    checks = await looks.checks()
    providers = await looks.providers(details=token is not None)
    readiness = Readiness(ready=all(check.ok for check in checks.values()), checks=checks, providers=providers)
    if readiness.ready:
        return Response(readiness.model_dump_json(), media_type=JSON)
    reasons = "; ".join(f"{name}: {check.detail}" for name, check in checks.items() if not check.ok)
    return problem_response("not_ready", reasons, headers={"Retry-After": "2"}, members=readiness.model_dump())
