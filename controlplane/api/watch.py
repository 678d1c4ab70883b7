"""Server-Sent Events from the audit trail: first the stored events after the client's last id, then new ones.

A stream ends when its client falls too far behind, when the replica stops, when its token is revoked, expires or allows
something else, and after its tenant was deleted. It names its position at once and with each heartbeat. A client that
reconnects with `Last-Event-ID` continues without a gap and without a repeat, even after a stream without an event.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from uuid import UUID

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.responses import StreamingResponse

from controlplane.api import trail_rows
from controlplane.api.failures import validation_failed
from controlplane.api.grants import Grant
from controlplane.api.replica import Replica
from controlplane.api.request_id import log
from controlplane.api.schemas.event import WatchEvent
from controlplane.errors import Refused
from controlplane.model import Event, Status
from controlplane.persistence import events
from controlplane.persistence.tokens import Token

HEARTBEAT_SECONDS = 10.0
PAGE = 200
_BEGIN_SECONDS = 5.0
_LAST_WORDS_SECONDS = 1.0
_TOGETHER_SECONDS = 0.1
"""For a narrowed token, events that come within this time are read together."""


async def watch(here: Replica, token: Token, *, tenant_id: UUID | None, last_event_id: str | None) -> StreamingResponse:
    """The stream. Raises Refused validation_failed (400), events_expired (410), overloaded and unavailable (503)."""
    start = _start(last_event_id)
    if not here.watchers.has_room(str(token.id)):
        message = f"too many watch this replica, of token {token.name!r} or of all"
        raise Refused(message, code="overloaded", status=503, headers={"Retry-After": "5"})
    if not await here.feed.begun(_BEGIN_SECONDS):
        raise Refused("the event feed does not run yet", code="unavailable", status=503, headers={"Retry-After": "1"})
    async with here.database.connect() as connection:
        extent = await events.extent(connection)
    if start is not None and not extent.pruned <= start <= extent.newest:
        raise Refused(
            "the events after this id are not kept; read the tenants again, then watch from now",
            code="events_expired",
            status=410,
        )
    stream = _stream(here, token, tenant_id, extent.newest if start is None else start)
    headers = {"X-Accel-Buffering": "no"}
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


async def has_after(here: Replica, token: Token, tenant_id: UUID, last_event_id: str | None) -> bool:
    """True if the trail of a deleted tenant holds an event that this client has not seen."""
    start = _start(last_event_id)
    return start is not None and bool(await trail_rows.after(here.database, token, start, tenant_id=tenant_id, limit=1))


async def _stream(here: Replica, token: Token, tenant_id: UUID | None, start: int) -> AsyncIterator[str]:
    said = -HEARTBEAT_SECONDS
    with here.grants.under(token) as grant:
        async with here.watchers.take(str(token.id)), aclosing(_found(here, grant, token, tenant_id, start)) as found:
            try:
                async for event in found:
                    if not await grant.holds():
                        return
                    if isinstance(event, Event):
                        yield _frame(event)
                    elif time.monotonic() < said + HEARTBEAT_SECONDS:
                        continue
                    else:
                        yield _heartbeat(event)
                    said = time.monotonic()
            except (DBAPIError, PoolTimeout, OSError) as error:
                # The answer has begun, so we can only end it; the client reconnects with its last id.
                log.warning("a watch ends: the database does not answer (%s)", type(error).__name__)


def _found(
    here: Replica, grant: Grant, token: Token, tenant_id: UUID | None, last: int
) -> AsyncGenerator[Event | int, None]:
    if token.reach.everything:
        return _events(here, grant, token, tenant_id, last)
    return _within_reach(here, grant, token, tenant_id, last)


async def _within_reach(
    here: Replica, grant: Grant, token: Token, tenant_id: UUID | None, last: int
) -> AsyncGenerator[Event | int, None]:
    """As `_events`, for a narrowed token. The feed only says that there is more, and the table is read with the reach
    as it is in the rows at that moment: a tenant may come into it or leave it at any time."""
    ended, position = False, 0
    with here.feed.subscribe(tenant_id) as coming:
        while True:
            coming.clear()
            position = here.feed.position
            page = await _after(here, token, last, tenant_id)
            for event in page:
                last, ended = event.id, ended or _is_end(event, tenant_id)
                yield event
            if len(page) == PAGE:
                continue
            last = max(last, position)
            yield last
            heard = await coming.next(_LAST_WORDS_SECONDS if ended else min(HEARTBEAT_SECONDS, grant.seconds))
            if coming.dropped or (ended and heard is None):
                return
            if heard is not None:
                await asyncio.sleep(_TOGETHER_SECONDS)


async def _events(
    here: Replica, grant: Grant, token: Token, tenant_id: UUID | None, last: int
) -> AsyncGenerator[Event | int, None]:
    """The events in order, each once. Stored events come first, page by page. Then the client is subscribed, and the
    table is read to its end once more, so that no event falls in between, however many arrived. A number: the client is
    subscribed, or an interval passed without an event, and all events of this stream up to this id were sent."""
    ended = False
    while len(page := await _after(here, token, last, tenant_id)) == PAGE:
        for event in page:
            last, ended = event.id, ended or _is_end(event, tenant_id)
            yield event
    with here.feed.subscribe(tenant_id) as coming:
        page = await _after(here, token, last, tenant_id)
        yield last
        while page:
            for event in page:
                last, ended = event.id, ended or _is_end(event, tenant_id)
                yield event
            page = await _after(here, token, last, tenant_id) if len(page) == PAGE else []
        while True:
            following = await coming.next(_LAST_WORDS_SECONDS if ended else min(HEARTBEAT_SECONDS, grant.seconds))
            if following is not None and following.id > last:
                last, ended = following.id, ended or _is_end(following, tenant_id)
                yield following
            elif following is None:
                if ended or coming.dropped:
                    return
                # No event waits, so no event of this stream is between here and the feed's position.
                last = max(last, here.feed.position)
                yield last


async def _after(here: Replica, token: Token, last: int, tenant_id: UUID | None) -> list[Event]:
    """The next page of stored events, when it is this stream's turn."""
    async with here.catching_up:
        return await trail_rows.after(here.database, token, last, tenant_id=tenant_id, limit=PAGE)


def _is_end(event: Event, tenant_id: UUID | None) -> bool:
    """True if the watched tenant is deleted: a few events of the same transaction may follow, then none."""
    return tenant_id is not None and event.status == Status.DELETED


def _heartbeat(id: int) -> str:
    """An event with an id and no data: an EventSource dispatches nothing, and resumes from there."""
    return f": heartbeat\nid: {id}\n\n"


def _frame(event: Event) -> str:
    return f"id: {event.id}\ndata: {WatchEvent.of(event).model_dump_json()}\n\n"


def _start(last_event_id: str | None) -> int | None:
    if last_event_id is None or last_event_id == "":
        return None
    if not last_event_id.isascii() or not last_event_id.isdigit() or len(last_event_id) > 18:
        message = "is not an id that this stream gave"
        raise validation_failed(f"Last-Event-ID {message}", [{"loc": "Last-Event-ID", "message": message}])
    return int(last_event_id)
