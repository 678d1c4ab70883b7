"""The audit trail: pages of it, and streams of new events."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header
from starlette.responses import Response, StreamingResponse

from controlplane.api import cursors, tenant_rows, trail_rows, watch
from controlplane.api.beside import beside
from controlplane.api.mutations import JSON
from controlplane.api.openapi_parts import answers, stream
from controlplane.api.paging import Cursor, Limit
from controlplane.api.replica import Here, Replica
from controlplane.api.schemas.event import EventOut, EventPage
from controlplane.api.security import Viewer
from controlplane.errors import Refused
from controlplane.model import Status
from controlplane.persistence.tokens import Token

router = APIRouter(prefix="/v1", tags=["events"])

LastEventId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        description="Start after this event, without a gap. If left out, the stream starts now.",
    ),
]


@router.get(
    "/events",
    operation_id="list_events",
    response_model=EventPage,
    responses=answers(EventPage, status=200),
)
async def list_events(here: Here, token: Viewer, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """List who did what, when and why; newest first."""
    return await _list(here, token, None, limit, cursor)


@router.get(
    "/tenants/{name}/events",
    operation_id="list_tenant_events",
    response_model=EventPage,
    responses=answers(EventPage, "tenant_not_found", "tenant_deleted", status=200),
)
async def list_tenant_events(
    name: str, here: Here, token: Viewer, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """List the events of one tenant, newest first. Name a deleted tenant by its UUID."""
    view = await tenant_rows.find(here.views, token, name)
    return await _list(here, token, view.tenant.id, limit, cursor)


@router.get(
    "/watch",
    operation_id="watch_tenants",
    response_class=StreamingResponse,
    responses=stream("events_expired"),
)
async def watch_tenants(here: Here, token: Viewer, last_event_id: LastEventId = None) -> Response:
    """Stream the events of all tenants as Server-Sent Events."""
    return await watch.watch(here, token, tenant_id=None, last_event_id=last_event_id)


@router.get(
    "/tenants/{name}/watch",
    operation_id="watch_tenant",
    response_class=StreamingResponse,
    responses=stream("tenant_not_found", "tenant_deleted", "events_expired"),
)
async def watch_tenant(name: str, here: Here, token: Viewer, last_event_id: LastEventId = None) -> Response:
    """Stream the events of one tenant as Server-Sent Events. The stream ends after the tenant's deletion."""
    try:
        tenant = (await tenant_rows.find(here.views, token, name)).tenant
    except Refused as error:
        if error.code != "tenant_deleted":
            raise
        # A client that lost its connection before the last event may still fetch that event.
        tenant = (await tenant_rows.find_any(here.views, token, name)).tenant
    if tenant.status is Status.DELETED and not await watch.has_after(here, token, tenant.id, last_event_id):
        raise tenant_rows.deleted(tenant)
    return await watch.watch(here, token, tenant_id=tenant.id, last_event_id=last_event_id)


async def _list(here: Replica, token: Token, tenant_id: UUID | None, limit: int, cursor: str | None) -> Response:
    key = cursors.decode(cursor, "events", int)
    before = key[0] if key else None
    found = await trail_rows.page(here.database, token, tenant_id=tenant_id, before=before, limit=limit)
    next_cursor = cursors.encode("events", found.items[-1].id) if found.more else None

    def text() -> str:
        return EventPage(items=[EventOut.of(event) for event in found.items], next_cursor=next_cursor).model_dump_json()

    return Response(await beside(found.bytes, text), media_type=JSON)
