"""The output of a tenant's compute, if its provider keeps it."""

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query
from starlette.responses import PlainTextResponse, Response

from controlplane.api import tenant_rows
from controlplane.api.elsewhere import remote
from controlplane.api.openapi_parts import answers, named
from controlplane.api.replica import Here
from controlplane.api.security import Viewer
from controlplane.errors import LandlordError, Refused
from controlplane.persistence import placements
from controlplane.ports import FollowsLogs, ProvidesLogs, RemoteCompute

CURSOR = "Log-Cursor"

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
    )
    | {200: {"description": "The lines.", "headers": named(CURSOR)}},
)
async def get_tenant_logs(
    name: str,
    here: Here,
    token: Viewer,
    tail: Annotated[int, Query(ge=1, le=10_000, description="The number of lines, from the end.")] = 100,
    after: Annotated[
        str | None,
        Query(
            max_length=512,
            description=(
                "To follow: the `Log-Cursor` of the answer before, or empty at first. The answer is what was written "
                "since; if another resource serves now, its last lines."
            ),
        ),
    ] = None,
) -> Response:
    """Show the last lines of the serving resource. If none serves yet, show the newest one's; if there is none, the
    answer is empty. With `after` the answer has a `Log-Cursor`, unless there is no resource yet."""
    tenant = (await tenant_rows.find(here.views, token, name)).tenant
    placement = await placements.of_execution(here.database, tenant.serving_execution or tenant.newest_execution)
    if placement is None or placement.resource_id is None:
        return PlainTextResponse("")
    provider = here.compute_provider(placement.platform)
    if not isinstance(provider, ProvidesLogs):
        raise _not_supported(f"provider {placement.platform!r} has no logs")
    if after is not None and not isinstance(provider, FollowsLogs):
        raise _not_supported(f"the logs of provider {placement.platform!r} cannot be followed")
    there = await remote(here, provider, placement)
    try:
        if after is None:
            return PlainTextResponse(await (there or provider).logs(placement.resource_id, tail))
        return await _following(there or provider, placement.resource_id, after, tail)
    except LandlordError as error:
        raise Refused(error.message, code="unavailable", status=503, headers={"Retry-After": "2"}) from None


async def _following(provider: FollowsLogs | RemoteCompute, resource_id: str, after: str, tail: int) -> Response:
    """A cursor is the id of a resource and the provider's position in its output."""
    before, _, position = after.rpartition("/")
    resource = quote(resource_id, safe="")
    part = await provider.logs_after(resource_id, position if before == resource else None, tail)
    return PlainTextResponse(part.text, headers={CURSOR: f"{resource}/{part.position}"})


def _not_supported(message: str) -> Refused:
    return Refused(message, code="logs_not_supported", status=422)
