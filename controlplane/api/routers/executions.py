"""Executions: past and running work for a tenant."""

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from controlplane.api import cursors, execution_rows, tenant_rows
from controlplane.api.etags import require_match
from controlplane.api.mutations import JSON, Accepted, Mutating
from controlplane.api.openapi_parts import answers
from controlplane.api.paging import Cursor, Limit, page_of
from controlplane.api.replica import Here
from controlplane.api.schemas.execution import ExecutionOut, ExecutionPage, ExecutionSummary
from controlplane.api.schemas.tenant import TenantOut
from controlplane.api.security import Viewer
from controlplane.persistence import intents
from controlplane.persistence.transaction import Transaction

router = APIRouter(prefix="/v1", tags=["executions"])

ExecutionId = Annotated[str, Path(examples=["tenant-acme-provision-1-9f8e7d6c"])]


@router.get(
    "/tenants/{name}/executions",
    operation_id="list_executions",
    response_model=ExecutionPage,
    responses=answers(ExecutionPage, "tenant_not_found", "tenant_deleted", status=200),
)
async def list_executions(name: str, here: Here, token: Viewer, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """List a tenant's executions, newest first. Name a deleted tenant by its UUID."""
    key = cursors.decode(cursor, "executions", int, int)
    view = await tenant_rows.find(here.views, token, name)
    before = (int(key[0]), int(key[1])) if key else None
    found = await execution_rows.page(here.database, view.tenant, before=before, limit=limit + 1)
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
async def get_execution(id: ExecutionId, here: Here, token: Viewer) -> Response:
    """Show one execution with its steps."""
    found = await execution_rows.find(here.database, token, id)
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

    async def operation(tx: Transaction) -> Accepted:
        tenant, execution = await execution_rows.lock(tx, change.token, id)
        cancelled = await intents.cancel(tx, tenant, execution)
        require_match(change.if_match, tenant)
        current = cancelled if cancelled.id == tenant.newest_execution else await intents.newest_execution(tx, tenant)
        return Accepted(tenant, current, tenant, ends=cancelled.id)

    return await change.perform(operation)
