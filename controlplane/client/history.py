"""Executions, the audit trail, and watches of new events."""

import json
from collections.abc import Iterator
from typing import cast

import httpx

from controlplane.client.documents import EventPage, ExecutionDocument, ExecutionPage, TenantDocument, WatchDocument
from controlplane.client.wire import BETWEEN_TRIES_SECONDS, Unreachable, Wire, quoted
from controlplane.errors import Refused

WATCH_PATIENCE_SECONDS = 60.0
"""A watch that was cut off looks for a server for this time."""
UNAVAILABLE = 503


class History(Wire):
    """The calls of `Client` about executions and events."""

    def get_execution(self, execution_id: str) -> ExecutionDocument:
        """One execution with its steps."""
        return cast(ExecutionDocument, self._send("GET", f"/v1/executions/{quoted(execution_id)}"))

    def list_executions(self, tenant: str, *, limit: int = 50, cursor: str | None = None) -> ExecutionPage:
        """A tenant's executions, newest first."""
        query = {"limit": limit, "cursor": cursor}
        return cast(ExecutionPage, self._send("GET", f"/v1/tenants/{quoted(tenant)}/executions", params=query))

    def cancel_execution(self, execution_id: str, *, idempotency_key: str | None = None) -> TenantDocument:
        path = f"/v1/executions/{quoted(execution_id)}/cancel"
        return cast(TenantDocument, self._mutate("POST", path, idempotency_key=idempotency_key))

    def list_events(self, tenant: str | None = None, *, limit: int = 50, cursor: str | None = None) -> EventPage:
        """The audit trail, of one tenant or of all."""
        path = "/v1/events" if tenant is None else f"/v1/tenants/{quoted(tenant)}/events"
        return cast(EventPage, self._send("GET", path, params={"limit": limit, "cursor": cursor}))

    def watch(self, tenant: str | None = None, *, after: int | None = None) -> Iterator[WatchDocument]:
        """Events as they are committed: of one tenant until it is deleted, or of all for ever. `after`: the id of the
        last event that was seen; without it the watch starts now.

        In order, each once. If the connection breaks or the server restarts, the watch continues where it was. Raises
        Refused, and Unreachable if no server answered for a minute.
        """
        path = "/v1/watch" if tenant is None else f"/v1/tenants/{quoted(tenant)}/watch"
        # From now, but by id, so that a break before the first event leaves no gap either.
        newest = self.list_events(limit=1)["items"] if after is None else []
        last = newest[0]["id"] if newest else after
        heard: float | None = None
        ended = False
        while True:
            try:
                for line in self._lines(path, last):
                    heard = self._clock()
                    if line.startswith("data:"):
                        event = cast(WatchDocument, json.loads(line.removeprefix("data:")))
                        last, ended = event["id"], ended or event["status"] == "deleted"
                        yield event
            except (httpx.TransportError, Unreachable, Refused) as error:
                if isinstance(error, Refused) and error.status != UNAVAILABLE:
                    raise
                if heard is None or self._clock() - heard > WATCH_PATIENCE_SECONDS:
                    raise self._unreachable(error) if isinstance(error, httpx.TransportError) else error from None
            if ended and tenant is not None:
                return
            self._sleep(BETWEEN_TRIES_SECONDS)
