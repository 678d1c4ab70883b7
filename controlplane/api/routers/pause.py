"""Pause and resume of one tenant: intents are accepted, nothing acts."""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter
from starlette.responses import Response

from controlplane.api import tenant_rows
from controlplane.api.etags import require_match
from controlplane.api.mutations import Accepted, Mutating, Mutation
from controlplane.api.openapi_parts import answers
from controlplane.api.schemas.tenant import TenantOut
from controlplane.model import Tenant
from controlplane.persistence import intents, pauses
from controlplane.persistence.transaction import Transaction

router = APIRouter(prefix="/v1/tenants", tags=["tenants"])

_CODES = ("tenant_not_found", "tenant_deleted")


@router.post(
    "/{name}/pause",
    operation_id="pause_tenant",
    status_code=202,
    response_model=TenantOut,
    responses=answers(TenantOut, *_CODES, mutation=True),
)
async def pause_tenant(name: str, change: Mutating) -> Response:
    """Begin nothing new for the tenant until it is resumed; running work ends."""
    return await _set(name, change, pauses.pause)


@router.post(
    "/{name}/resume",
    operation_id="resume_tenant",
    status_code=202,
    response_model=TenantOut,
    responses=answers(TenantOut, *_CODES, mutation=True),
)
async def resume_tenant(name: str, change: Mutating) -> Response:
    """Carry out the changes stored during the pause, and continue as before."""
    return await _set(name, change, pauses.resume)


async def _set(name: str, change: Mutation, act: Callable[[Transaction, Tenant], Awaitable[Tenant]]) -> Response:
    async def operation(tx: Transaction) -> Accepted:
        before = await tenant_rows.lock(tx, change.token, name)
        require_match(change.if_match, before)
        tenant = await act(tx, before)
        return Accepted(tenant, await intents.newest_execution(tx, tenant), before, wake=tenant is not before)

    return await change.perform(operation)
