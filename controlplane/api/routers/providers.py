"""The providers of this installation, their health, and the schemas of their configs."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from controlplane.api.mutations import JSON
from controlplane.api.openapi_parts import answers
from controlplane.api.readiness import Known
from controlplane.api.replica import Here
from controlplane.api.schemas.installation import Capability, ComputeProviderOut, ProvidersOut, WorkflowProviderOut
from controlplane.api.security import Viewer
from controlplane.errors import Refused
from controlplane.ports import ComputeProvider, FollowsLogs, ProvidesLogs, RunsCommands, RunsExecProbes

router = APIRouter(prefix="/v1/providers", tags=["providers"])

_SCHEMA = "https://json-schema.org/draft/2020-12/schema"


@router.get("", operation_id="list_providers", response_model=ProvidersOut, responses=answers(ProvidersOut, status=200))
async def list_providers(here: Here, looks: Known, _: Viewer) -> Response:
    """List the enabled providers and their health. A provider that hangs is shown with the time since which it does not
    answer."""
    healths = await looks.healths()
    found = ProvidersOut(
        compute=[
            ComputeProviderOut(
                name=name,
                healthy=healths[name].healthy,
                detail=healths[name].detail,
                one_node=provider.one_node,
                capabilities=capabilities_of(provider),
            )
            for name, provider in here.compute.items()
        ],
        workflow=[
            WorkflowProviderOut(name=name, default=name == here.settings.workflow_provider) for name in here.workflows
        ],
    )
    return Response(found.model_dump_json(), media_type=JSON)


@router.get(
    "/compute/{name}/schema",
    operation_id="get_compute_provider_schema",
    responses=answers(None, "provider_not_found", status=200),
)
async def get_compute_provider_schema(name: str, here: Here, _: Viewer) -> dict[str, Any]:
    """Show the JSON Schema 2020-12 of the provider's config, with its defaults."""
    provider = here.compute.get(name)
    if provider is None:
        raise Refused(
            f"there is no compute provider {name[:80]!r} here; enabled: {', '.join(sorted(here.compute)) or 'none'}",
            code="provider_not_found",
            status=404,
        )
    return {"$schema": _SCHEMA, **provider.config_model.model_json_schema()}


def capabilities_of(provider: ComputeProvider) -> list[Capability]:
    """The capabilities that a client can use. KeepsBelongings is left out: a client cannot choose by it."""
    protocols: tuple[tuple[Capability, type], ...] = (
        ("logs", ProvidesLogs),
        ("follow_logs", FollowsLogs),
        ("exec", RunsCommands),
        ("exec_probe", RunsExecProbes),
    )
    return [name for name, protocol in protocols if isinstance(provider, protocol)]
