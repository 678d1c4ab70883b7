"""Commands in a tenant's compute, if its provider runs them. They take no Idempotency-Key: what they do is nobody's to
know, so a repeat is another command."""

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import Response

from controlplane.api import execution_rows, tenant_rows
from controlplane.api.elsewhere import remote
from controlplane.api.failures import invalid_body
from controlplane.api.middleware.deadline import extend
from controlplane.api.mutations import JSON
from controlplane.api.openapi_parts import answers, body_of
from controlplane.api.replica import Here, by_token
from controlplane.api.schemas.command import CommandOut
from controlplane.api.schemas.requests import CommandRun
from controlplane.api.security import Operator, require_role
from controlplane.api.strict_json import read_object
from controlplane.errors import LandlordError, Refused
from controlplane.model import EventType
from controlplane.model.masking import mask
from controlplane.persistence import placements
from controlplane.ports import ReachesHost, ResourceState, RunsCommands

router = APIRouter(prefix="/v1/tenants", tags=["tenants"])


@router.post(
    "/{name}/exec",
    operation_id="exec_in_tenant",
    response_model=CommandOut,
    responses=answers(
        CommandOut,
        "forbidden",
        "tenant_not_found",
        "invalid_transition",
        "tenant_deleted",
        "provider_not_enabled",
        "exec_not_supported",
        status=200,
        body=True,
    ),
    openapi_extra=body_of(CommandRun),
)
async def exec_in_tenant(name: str, request: Request, here: Here, token: Operator) -> Response:
    """Run a command in the serving resource and wait for its end, `timeout_seconds` at most. On `process`, this
    takes the role of `LANDLORD_PROCESS_ROLE`; where the config reaches the host, an admin. The audit trail has the
    command before it runs."""
    try:
        wanted = CommandRun.model_validate(await read_object(request))
    except ValidationError as error:
        raise invalid_body(error) from None
    extend(request, wanted.timeout_seconds)
    tenant = (await tenant_rows.find(here.views, token, name)).tenant
    serving = tenant.serving_execution
    placement = None if serving is None else await placements.of_execution(here.database, serving)
    if serving is None or placement is None or placement.resource_id is None:
        raise Refused.invalid_transition(f"nothing serves tenant {tenant.name!r}")
    provider = here.compute_provider(placement.platform)
    if not isinstance(provider, RunsCommands):
        raise Refused(f"provider {placement.platform!r} runs no commands", code="exec_not_supported", status=422)
    execution, _ = await execution_rows.find(here.database, token, serving)
    if placement.platform == "process":
        require_role(token, here.settings.process_role, "a command beside one of the process provider")
    if isinstance(provider, ReachesHost) and provider.host_access(execution.spec.compute.config):
        require_role(token, "admin", "a command where the config reaches the host")
    there = await remote(here, provider, placement) or provider
    try:
        found = await there.inspect(placement.resource_id)
        if found is None or found.state is not ResourceState.RUNNING:
            raise Refused.invalid_transition(f"what serves tenant {tenant.name!r} does not run")
        async with by_token(here, token) as tx:
            locked = await tenant_rows.lock(tx, token, str(tenant.id))
            tx.event(EventType.TENANT_COMMAND_RUN, locked, data=mask({"command": wanted.command}))
        ran = await there.run_command(placement.resource_id, wanted.command, wanted.timeout_seconds)
    except Refused:
        raise
    except LandlordError as error:
        raise Refused(error.message, code="unavailable", status=503, headers={"Retry-After": "2"}) from None
    answer = CommandOut(exit_code=ran.exit_code, output=ran.output, cut=ran.cut)
    return Response(answer.model_dump_json(), media_type=JSON)
