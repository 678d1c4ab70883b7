"""The outermost layer of each request: its id, its log line, security headers, and a 500 that reveals nothing.

The line says who asked (the token's id and name), for what, from where, how it ended and why it was refused. It never
holds a secret. Of the path it holds only the text of the request line, quoted unchanged.
"""

import logging
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controlplane import tracing
from controlplane.api import request_id
from controlplane.api.access import noted
from controlplane.api.problem import problem_response
from controlplane.api.request_counts import RequestCounts, template
from controlplane.api.request_id import log
from controlplane.api.strangers import client_of

access_log = logging.getLogger("landlord.access")
_LONGEST_PATH = 1024
VERSIONED = "/v1/"

_ID = request_id.HEADER.lower().encode()
_ALWAYS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
]
_UNLESS_SENT = [
    (b"cache-control", b"no-store"),
    # The one page, /docs, sends its own.
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
]
_OURS = frozenset({_ID, *(name for name, _ in _ALWAYS)})


class Edge:
    """ASGI middleware. An unhandled error from below is logged with the request's id and answered as
    `internal_error`."""

    def __init__(self, app: ASGIApp, requests: RequestCounts | None = None) -> None:
        """`requests`: counts each of them, as it ended."""
        self._app = app
        self._requests = requests or RequestCounts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        id = request_id.begin(Headers(scope=scope).get(request_id.HEADER))
        started = time.perf_counter()
        status = 0

        async def send_dressed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _dressed(message.get("headers", ()), id)
                if (allowance := scope.get("state", {}).get("allowance")) is not None:
                    MutableHeaders(scope=message).update(allowance.headers())
            await send(message)

        try:
            with _traced(scope) as span:
                await self._app(scope, receive, send_dressed)
                span.named(f"{scope['method']} {template(scope)}", **{"http.response.status_code": status})
        except Exception:
            log.exception("%s %s failed", scope["method"], _path(scope))
            if status == 0:
                response = problem_response("internal_error", "the request could not be answered; the log says why")
                await response(scope, receive, send_dressed)
        finally:
            self._requests.count(scope, status)
            _write(scope, id, status, time.perf_counter() - started)


def _dressed(headers: Iterable[tuple[bytes, bytes]], id: str) -> list[tuple[bytes, bytes]]:
    """With the request's id and the security headers. Once for each answer, so by the bytes of ASGI, whose names are in
    lower case."""
    dressed = [pair for pair in headers if pair[0] not in _OURS]
    sent = {name for name, _ in dressed}
    dressed += [(_ID, id.encode()), *_ALWAYS, *(pair for pair in _UNLESS_SENT if pair[0] not in sent)]
    return dressed


def _traced(scope: Scope) -> AbstractContextManager[tracing.Span]:
    """A span for each call of the API; none for those who only ask whether it is well."""
    if not tracing.on() or not scope["path"].startswith(VERSIONED):
        return tracing.NOTHING
    return tracing.span(scope["method"], parent=Headers(scope=scope).get("traceparent"), root=True)


def _write(scope: Scope, id: str, status: int, seconds: float) -> None:
    who = dict(noted(scope))
    if who.pop("quiet", False):
        return
    method, path = scope["method"], _path(scope)
    level = logging.WARNING if status in (0, 401, 403, 429) or status >= 500 else logging.INFO
    said = {"request_id": id, "client": client_of(scope), "method": method, "path": path, "status": status}
    if not access_log.isEnabledFor(level):
        return
    # As `access_log.log` would, without looking for the line of the source from which it is called.
    words = (method, path, status or "aborted")
    record = logging.LogRecord(access_log.name, level, __file__, 0, "%s %s %s", words, None)
    vars(record).update(said, ms=round(seconds * 1000, 1), **who)
    access_log.handle(record)


def _path(scope: Scope) -> str:
    """The path as it came, quoted so that no part of it makes a line of its own; without the query."""
    raw = scope.get("raw_path")
    path = raw.decode("latin-1").partition("?")[0] if raw else quote(scope["path"])
    return path[:_LONGEST_PATH]
