"""Executions, the audit trail, and watches of new events. See `exchange` for why these are generators."""

import json
from collections.abc import Sequence

from landlord_client.errors import Problem, Unreachable
from landlord_client.exchange import (
    BETWEEN_TRIES_SECONDS,
    Item,
    Listen,
    NextLine,
    Now,
    Operation,
    Request,
    Sleep,
    Stream,
    chosen,
    get,
    mutate,
    paged,
    quoted,
    refuse,
)
from landlord_client.models import Event, EventPage, Execution, ExecutionPage, Tenant, WatchEvent
from landlord_client.tenants import LARGEST_PAGE, PATIENCE_SECONDS, list_tenants

UNAVAILABLE = 503
RELABELLED = frozenset({"tenant.created", "tenant.updated", "tenant.metadata_changed"})
"""The events after which a tenant may have other labels."""


def get_execution(execution_id: str) -> Operation[Execution]:
    """One execution with its steps."""
    return get(f"/v1/executions/{quoted(execution_id)}", Execution)


def list_executions(tenant: str, *, limit: int = 50, cursor: str | None = None) -> Operation[ExecutionPage]:
    """One page of a tenant's executions, newest first."""
    return get(f"/v1/tenants/{quoted(tenant)}/executions", ExecutionPage, limit=limit, cursor=cursor)


def iterate_executions(tenant: str) -> Stream[Execution]:
    """All executions of a tenant, newest first, page by page."""
    return paged(lambda cursor: list_executions(tenant, limit=LARGEST_PAGE, cursor=cursor))


def cancel_execution(execution_id: str, *, idempotency_key: str | None = None) -> Operation[Tenant]:
    """Ask an execution that has not ended to stop."""
    path = f"/v1/executions/{quoted(execution_id)}/cancel"
    return mutate("POST", path, Tenant, idempotency_key=idempotency_key)


def list_events(tenant: str | None = None, *, limit: int = 50, cursor: str | None = None) -> Operation[EventPage]:
    """One page of the audit trail, newest first, of one tenant or of all."""
    path = "/v1/events" if tenant is None else f"/v1/tenants/{quoted(tenant)}/events"
    return get(path, EventPage, limit=limit, cursor=cursor)


def iterate_events(tenant: str | None = None) -> Stream[Event]:
    """The audit trail, newest first, page by page."""
    return paged(lambda cursor: list_events(tenant, limit=LARGEST_PAGE, cursor=cursor))


def watch(tenant: str | None = None, *, after: int | None = None) -> Stream[WatchEvent]:
    """Events as they are committed: of one tenant until it is deleted, or of all for ever. `after`: the id of the
    last event that was seen; without it the watch starts now.

    In order, each once. If the connection breaks or the server restarts, the watch continues where it was. Raises
    the problem that the server answers, and Unreachable if no server answered for a minute.

    >>> for event in client.watch("acme", after=0):
    ...     print(event.id, event.type, event.status)
    ...     if event.status == "ready":
    ...         break
    1 tenant.created requested
    2 tenant.status ready
    """
    path = "/v1/watch" if tenant is None else f"/v1/tenants/{quoted(tenant)}/watch"
    # From now, but by id, so that a break before the first event leaves no gap either.
    last = after if after is not None else (yield from _newest())
    heard: float | None = None
    ended = False
    while True:
        try:
            resume = {} if last is None else {"Last-Event-ID": str(last)}
            answer = yield Listen(Request("GET", path, {}, {"Accept": "text/event-stream", **resume}))
            if not answer.success:
                refuse(answer)
            while (line := (yield NextLine())) is not None:
                heard = yield Now()
                if line.startswith("data:"):
                    event = WatchEvent.model_validate(json.loads(line.removeprefix("data:")))
                    last, ended = event.id, ended or event.status == "deleted"
                    yield Item(event)
        except (Unreachable, Problem) as error:
            if isinstance(error, Problem) and error.status != UNAVAILABLE:
                raise
            now: float = yield Now()
            if heard is None or now - heard > PATIENCE_SECONDS:
                raise
        if ended and tenant is not None:
            return
        yield Sleep(BETWEEN_TRIES_SECONDS)


def watch_matching(selector: Sequence[str], *, after: int | None = None) -> Stream[WatchEvent]:
    """As `watch` of all tenants, but only the events of tenants whose labels match, now or by a later change. The
    event by which a tenant ceases to match is the first that is left out; a deleted tenant's events are shown to
    the end."""
    if after is None:
        # Where the watch begins is fixed before the tenants are read: who is labelled in between has its event.
        after = yield from _newest()
    matching: set[str] = set()
    cursor = None
    while True:
        page = yield from list_tenants(selector=selector, limit=LARGEST_PAGE, cursor=cursor)
        matching |= {tenant.name for tenant in page.items}
        cursor = page.next_cursor
        if cursor is None:
            break

    def wanted(event: WatchEvent) -> Operation[bool]:
        if event.tenant is not None and event.type in RELABELLED:
            if (yield from _matches(event.tenant, selector)):
                matching.add(event.tenant)
            else:
                matching.discard(event.tenant)
        return event.tenant in matching

    yield from chosen(watch(after=after), wanted)


def _newest() -> Operation[int | None]:
    page = yield from list_events(limit=1)
    return page.items[0].id if page.items else None


def _matches(name: str, selector: Sequence[str]) -> Operation[bool]:
    """Patient, like the watch itself, while the server restarts."""
    now: float = yield Now()
    deadline = now + PATIENCE_SECONDS
    while True:
        try:
            # By name, so the one that is called exactly so comes first.
            page = yield from list_tenants(selector=selector, name_prefix=name, limit=1)
            return bool(page.items) and page.items[0].name == name
        except (Unreachable, Problem) as error:
            now = yield Now()
            if (isinstance(error, Problem) and error.status != UNAVAILABLE) or now > deadline:
                raise
        yield Sleep(BETWEEN_TRIES_SECONDS)
