"""The output of a tenant's compute, if its provider keeps it."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import PlainTextResponse, Response

from controlplane.api import tenant_rows
from controlplane.api.openapi_parts import answers
from controlplane.api.replica import Here
from controlplane.api.security import Viewer
from controlplane.errors import LandlordError, Refused
from controlplane.persistence import placements
from controlplane.ports import ProvidesLogs

router = APIRouter(prefix="/v1/tenants", tags=["tenants"])


@router.get(
    "/{name}/logs",
    operation_id="get_tenant_logs",
    response_class=PlainTextResponse,
    responses=answers(
        None,
        "tenant_not_found",
        "tenant_deleted",
        "logs_not_supported",
        "provider_not_enabled",
        status=200,
    ),
)
async def get_tenant_logs(
    name: str,
    here: Here,
    token: Viewer,
    tail: Annotated[int, Query(ge=1, le=10_000, description="The number of lines, from the end.")] = 100,
) -> Response:
    """Show the last lines of the serving resource. If none serves yet, show the newest one's; if there is none, the
    answer is empty."""
    tenant = (await tenant_rows.find(here.database, token, name)).tenant
    placement = await placements.of_execution(here.database, tenant.serving_execution or tenant.newest_execution)
    if placement is None or placement.resource_id is None:
        return PlainTextResponse("")
    provider = here.compute_provider(placement.platform)
    if not isinstance(provider, ProvidesLogs):
        raise Refused(f"provider {placement.platform!r} has no logs", code="logs_not_supported", status=422)
    try:
        return PlainTextResponse(await provider.logs(placement.resource_id, tail))
    except LandlordError as error:
        raise Refused(error.message, code="unavailable", status=503, headers={"Retry-After": "2"}) from None
