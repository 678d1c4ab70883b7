"""The outermost layer of each request: its id, its log line, security headers, and a 500 that gives nothing away."""

import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controlplane.api import request_id
from controlplane.api.problem import problem_response
from controlplane.api.request_id import log

_SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}
# The one page, /docs, sends its own.
_NO_PAGE = "default-src 'none'; frame-ancestors 'none'"


class Edge:
    """ASGI middleware. Whatever is raised below is logged with the request's id and answered as `internal_error`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

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
                headers = MutableHeaders(scope=message)
                headers[request_id.HEADER] = id
                headers.setdefault("Cache-Control", "no-store")
                for name, value in _SECURITY.items():
                    headers[name] = value
                if (allowance := scope.get("state", {}).get("allowance")) is not None:
                    headers.update(allowance.headers())
                headers.setdefault("Content-Security-Policy", _NO_PAGE)
            await send(message)

        try:
            await self._app(scope, receive, send_dressed)
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            if status == 0:
                response = problem_response("internal_error", "the request could not be answered; the log says why")
                await response(scope, receive, send_dressed)
        finally:
            spent = (time.perf_counter() - started) * 1000
            log.info("%s %s %s %.1f ms", scope["method"], scope["path"], status or "aborted", spent)
