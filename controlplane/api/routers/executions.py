"""Executions: past and running work for a tenant."""

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from controlplane.api import cursors, tenant_rows
from controlplane.api.etags import require_match
from controlplane.api.mutations import JSON, Accepted, Mutating
from controlplane.api.openapi_parts import answers
from controlplane.api.paging import Cursor, Limit, page_of
from controlplane.api.replica import Here
from controlplane.api.schemas.execution import ExecutionOut, ExecutionPage, ExecutionSummary
from controlplane.api.schemas.tenant import TenantOut
from controlplane.api.security import Viewer
from controlplane.errors import Refused
from controlplane.persistence import executions, intents, tenants
from controlplane.persistence.transaction import Transaction

router = APIRouter(prefix="/v1", tags=["executions"])

ExecutionId = Annotated[str, Path(examples=["tenant-acme-provision-1-9f8e7d6c"])]


@router.get(
    "/tenants/{name}/executions",
    operation_id="list_executions",
    response_model=ExecutionPage,
    responses=answers(ExecutionPage, "tenant_not_found", "tenant_deleted", status=200),
)
async def list_executions(name: str, here: Here, _: Viewer, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """List a tenant's executions, newest first. Name a deleted tenant by its UUID."""
    key = cursors.decode(cursor, "executions", int, int)
    view = await tenant_rows.find(here.database, name)
    before = (int(key[0]), int(key[1])) if key else None
    found = await executions.page(here.database, view.tenant.id, before=before, limit=limit + 1)
    items, more = page_of(found, limit)
    page = ExecutionPage(
        items=[ExecutionSummary.of(execution) for execution in items],
        next_cursor=cursors.encode("executions", *items[-1].order) if more else None,
    )
    return Response(page.model_dump_json(), media_type=JSON)


@router.get(
    "/executions/{id}",
    operation_id="get_execution",
    response_model=ExecutionOut,
    responses=answers(ExecutionOut, "execution_not_found", status=200),
)
async def get_execution(id: ExecutionId, here: Here, _: Viewer) -> Response:
    """Show one execution with its steps."""
    _refuse_nonsense(id)
    found = await executions.get(here.database, id)
    if found is None:
        raise Refused.execution_not_found(id)
    return Response(ExecutionOut.of_parts(*found).model_dump_json(), media_type=JSON)


@router.post(
    "/executions/{id}/cancel",
    operation_id="cancel_execution",
    status_code=202,
    response_model=TenantOut,
    responses=answers(TenantOut, "execution_not_found", "invalid_transition", mutation=True),
)
async def cancel_execution(id: ExecutionId, change: Mutating) -> Response:
    """Ask an unfinished execution to end. Its tenant becomes `failed`, with the reason `Cancelled`."""
    _refuse_nonsense(id)

    async def operation(tx: Transaction) -> Accepted:
        tenant = await tenants.lock_of_execution(tx, id)
        execution = await executions.lock(tx.connection, id)
        if tenant is None or execution is None:
            raise Refused.execution_not_found(id)
        cancelled = await intents.cancel(tx, tenant, execution)
        require_match(change.if_match, tenant)
        current = cancelled if cancelled.id == tenant.newest_execution else await intents.newest_execution(tx, tenant)
        return Accepted(tenant, current, tenant, ends=cancelled.id)

    return await change.perform(operation)


def _refuse_nonsense(id: str) -> None:
    if len(id) > 100 or not id.isascii() or not id.isprintable():
        raise Refused.execution_not_found(id[:100])
