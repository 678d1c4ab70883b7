"""/v1/tenants: create, read, change and delete tenants."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import StringConstraints, ValidationError
from starlette.responses import Response

from controlplane.api import cursors, tenant_rows
from controlplane.api.beside import beside, weight
from controlplane.api.etags import etag, require_match
from controlplane.api.failures import invalid_body, validation_failed
from controlplane.api.mutations import JSON, Accepted, Mutating, Mutation
from controlplane.api.openapi_parts import answers, body_of
from controlplane.api.paging import Cursor, Limit
from controlplane.api.plans import changes
from controlplane.api.replica import Here
from controlplane.api.schemas.requests import TenantCreate, TenantPatch
from controlplane.api.schemas.tenant import TenantOut, TenantPage, shown_page, shown_spec, shown_view
from controlplane.api.security import Viewer, require_role
from controlplane.api.spec_check import check_new_spec, merged
from controlplane.api.strict_json import read_object
from controlplane.errors import Refused
from controlplane.model import SENT, Status, Tenant
from controlplane.model.selector import Requirement, parse_selector
from controlplane.persistence import intents
from controlplane.persistence.intents import Intent
from controlplane.persistence.quotas import Quota
from controlplane.persistence.transaction import Transaction

router = APIRouter(prefix="/v1/tenants", tags=["tenants"])

_MERGE_PATCH = ("application/merge-patch+json", "application/json")
_WORKING = frozenset({Status.REQUESTED, Status.PLANNING, Status.PROVISIONING, Status.UPDATING, Status.DELETING})


@router.post(
    "",
    operation_id="create_tenant",
    status_code=202,
    response_model=TenantOut,
    responses=answers(
        TenantOut,
        "provider_not_enabled",
        "tenant_exists",
        "node_unavailable",
        "quota_exceeded",
        mutation=True,
        body=True,
    ),
    openapi_extra=body_of(TenantCreate),
)
async def create_tenant(request: Request, change: Mutating) -> Response:
    """Store a new tenant and begin to provision it. 202 means: it is stored and will be carried out."""
    try:
        wanted = TenantCreate.model_validate(await read_object(request), context=SENT)
    except ValidationError as error:
        raise invalid_body(error) from None
    if change.if_match is not None:
        raise Refused("a new tenant has no version yet; leave out If-Match", code="version_mismatch", status=412)
    here, heavy = change.here, weight(wanted.spec)

    async def operation(tx: Transaction) -> Accepted:
        tenant_rows.require_reach(change.token, wanted.name, wanted.labels)
        await beside(heavy, lambda: check_new_spec(here, change.token, wanted.spec))
        intent = await intents.create(
            tx,
            name=wanted.name,
            labels=wanted.labels,
            annotations=wanted.annotations,
            spec=wanted.spec,
            default_workflow=here.settings.workflow_provider,
            quota=Quota(here.settings.max_tenants, here.settings.max_tenants_per_token),
            detail={"spec": await beside(heavy, lambda: shown_spec(wanted.spec))},
        )
        return Accepted(intent.tenant, intent.execution, None, started=True, action="provision")

    return await change.perform(operation)


@router.get(
    "",
    operation_id="list_tenants",
    response_model=TenantPage,
    responses=answers(TenantPage, status=200),
)
async def list_tenants(
    here: Here,
    token: Viewer,
    status: Annotated[list[Status] | None, Query(description="May be repeated; one must match.")] = None,
    label: Annotated[
        list[Annotated[str, StringConstraints(max_length=400)]] | None,
        Query(description="A label selector: `a=b,c!=d,e in (x,y),f,!g`. May be repeated; all must match."),
    ] = None,
    name_prefix: Annotated[str, Query(max_length=40, pattern=r"^[-a-z0-9]*$")] = "",
    lagging: Annotated[bool, Query(description="Only tenants whose newest generation has not succeeded yet.")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List the tenants that are not deleted, by name."""
    key = cursors.decode(cursor, "tenants", str)
    found = await tenant_rows.page(
        here.database,
        token,
        statuses=status or (),
        selector=_selector(label or []),
        name_prefix=name_prefix,
        lagging=lagging,
        after=key[0] if key else None,
        limit=limit,
    )
    next_cursor = cursors.encode("tenants", found.items[-1].tenant.name) if found.more else None
    rest = here.settings.rest_probe_seconds

    text = await beside(found.bytes, lambda: shown_page(found.items, next_cursor, rest))
    return Response(text, media_type=JSON)


@router.get(
    "/{name}",
    operation_id="get_tenant",
    response_model=TenantOut,
    responses=answers(TenantOut, "tenant_not_found", "tenant_deleted", status=200),
)
async def get_tenant(name: str, here: Here, token: Viewer) -> Response:
    """Show one tenant, by name or UUID. Name a deleted tenant by its UUID."""
    view = await tenant_rows.find(here.views, token, name)

    rest = here.settings.rest_probe_seconds
    text = await beside(len(view.spec_json), lambda: shown_view(view, rest))
    return Response(text, 200, {"ETag": etag(view.tenant)}, JSON)


@router.patch(
    "/{name}",
    operation_id="update_tenant",
    status_code=202,
    response_model=TenantOut,
    responses=answers(
        TenantOut,
        "provider_not_enabled",
        "tenant_not_found",
        "node_unavailable",
        "invalid_transition",
        "tenant_deleted",
        mutation=True,
        body=True,
    ),
    openapi_extra=body_of(TenantPatch, *_MERGE_PATCH),
)
async def update_tenant(name: str, request: Request, change: Mutating) -> Response:
    """Merge a patch into spec, labels and annotations. A changed spec is a new generation and its execution (202)."""
    patch = await read_object(request, _MERGE_PATCH)
    try:
        TenantPatch.model_validate(patch)
    except ValidationError as error:
        raise invalid_body(error) from None

    async def operation(tx: Transaction) -> Accepted:
        before = await tenant_rows.lock(tx, change.token, name)
        intents.refuse_if_deleting(before)
        require_match(change.if_match, before)
        heavy = weight(before.spec) + len(await request.body())
        document = await beside(heavy, lambda: merged(change.here, change.token, before, patch))
        tenant_rows.require_reach(change.token, before.name, document.labels)
        after = replace(before, spec=document.spec, labels=document.labels, annotations=document.annotations)
        lines = await beside(heavy, lambda: changes(before, after, change.here.compute))
        intent = await intents.patch(
            tx,
            before,
            spec=document.spec,
            labels=document.labels,
            annotations=document.annotations,
            default_workflow=change.here.settings.workflow_provider,
            detail={"changes": [line.model_dump() for line in lines]},
        )
        return _accepted(before, intent, unchanged_status=200)

    return await change.perform(operation)


@router.delete(
    "/{name}",
    operation_id="delete_tenant",
    status_code=202,
    response_model=TenantOut,
    responses=answers(
        TenantOut,
        "tenant_not_found",
        "tenant_deleted",
        mutation=True,
    ),
)
async def delete_tenant(
    name: str,
    change: Mutating,
    force: Annotated[
        bool,
        Query(description="For admins: mark the tenant deleted now and abandon its compute."),
    ] = False,
) -> Response:
    """Delete the tenant and its compute. If asked again, the answer is the newest delete run."""
    if force:
        require_role(change.token, "admin", "deleting by force")

    async def operation(tx: Transaction) -> Accepted:
        before = await tenant_rows.lock(tx, change.token, name)
        require_match(change.if_match, before)
        if force:
            tenant = await intents.force_delete(tx, before)
            execution = await intents.newest_execution(tx, tenant)
            return Accepted(tenant, execution, before, action="delete")
        intent = await intents.delete(tx, before, default_workflow=change.here.settings.workflow_provider)
        return _accepted(before, intent, unchanged_status=202)

    return await change.perform(operation, variant="force" if force else "")


AGAIN: dict[str, Any] = {
    "status_code": 202,
    "response_model": TenantOut,
    "responses": answers(TenantOut, "tenant_not_found", "invalid_transition", "tenant_deleted", mutation=True),
}
"""The routes that run what is there once more."""


@router.post("/{name}/retry", operation_id="retry_tenant", **AGAIN)
async def retry_tenant(name: str, change: Mutating) -> Response:
    """Run the newest generation of a failed tenant once more."""
    return await _run_again(name, change, intents.retry)


@router.post("/{name}/redeploy", operation_id="redeploy_tenant", **AGAIN)
async def redeploy_tenant(name: str, change: Mutating) -> Response:
    """Run the newest generation again: its image is pulled, and the old resource goes once the new one is healthy."""
    return await _run_again(name, change, intents.redeploy)


@router.post("/{name}/restart", operation_id="restart_tenant", **AGAIN)
async def restart_tenant(name: str, change: Mutating) -> Response:
    """Restart what serves, in place: the same resource stops and starts. While another execution is under way, that one
    starts the tenant anew, and is the answer."""
    return await _run_again(name, change, intents.restart)


@router.post(
    "/{name}/reconcile",
    operation_id="reconcile_tenant",
    status_code=202,
    response_model=TenantOut,
    responses=answers(
        TenantOut,
        "tenant_not_found",
        "tenant_deleted",
        mutation=True,
    ),
)
async def reconcile_tenant(name: str, change: Mutating) -> Response:
    """Wake the tenant's actor and compare the tenant with reality now."""

    async def operation(tx: Transaction) -> Accepted:
        tenant = await tenant_rows.lock(tx, change.token, name)
        require_match(change.if_match, tenant)
        execution = await intents.newest_execution(tx, tenant)
        await intents.reconcile(tx, tenant)
        return Accepted(tenant, execution, tenant)

    return await change.perform(operation)


async def _run_again(name: str, change: Mutation, queue: Callable[..., Awaitable[Intent]]) -> Response:
    """Queue a run that changes no spec. `queue`: the intent for it."""

    async def operation(tx: Transaction) -> Accepted:
        before = await tenant_rows.lock(tx, change.token, name)
        require_match(change.if_match, before)
        intent = await queue(tx, before, default_workflow=change.here.settings.workflow_provider)
        return _accepted(before, intent, unchanged_status=202)

    return await change.perform(operation)


def _accepted(before: Tenant, intent: Intent, *, unchanged_status: int) -> Accepted:
    if not intent.created:
        return Accepted(intent.tenant, intent.execution, before, status=unchanged_status, wake=False)
    return Accepted(
        intent.tenant,
        intent.execution,
        before,
        # While an older execution works, or the tenant is paused, the new one stays queued: do not wait for its start.
        started=before.status not in _WORKING and not before.paused,
        action=intent.execution.action.value,
    )


def _selector(texts: list[str]) -> list[Requirement]:
    try:
        return list(parse_selector(*texts))
    except ValueError as error:
        raise validation_failed("a parameter is not valid", [{"loc": "label", "message": str(error)}]) from None
