"""The reads that come thousands of times a second, past the framework's own way to a route.

That way leads through seven layers, looks at each route twice, and solves parameters and dependencies again for each
request: for a GET of one tenant more work than all the rest. A shortcut knows one plain form of a request. Every other
form is none of its own, and takes the ordinary way; so both must answer the same
(tests/integration/test_api_shortcuts.py).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from controlplane.api import failures
from controlplane.api.middleware.body_limit import has_body
from controlplane.api.middleware.deadline import late
from controlplane.api.paging import LONGEST_CURSOR, MOST
from controlplane.api.replica import of
from controlplane.api.routers import health, tenants
from controlplane.api.security import Requires

Arguments = Mapping[str, Any]
"""For the function of the route, besides `here` and `token`."""
_ARGUMENTS = "landlord.arguments"


class Shortcut(BaseRoute):
    """One GET. In the application it stands before the routers too, where a HEAD meets it, and where Serve looks for
    the name of a route.

    `route`: the ordinary one, which counts, logs and the document know. `read`: the arguments that a path and a query
    are, or None for what must go the ordinary way."""

    def __init__(
        self,
        route: APIRoute,
        read: Callable[[str, bytes], Arguments | None],
        answer: Callable[[Request, Arguments], Awaitable[Response]],
    ) -> None:
        # Serve and the framework ask a route for these.
        self.path, self.path_format, self.methods = route.path, route.path_format, {"GET"}
        self._route = route
        self._read = read
        self._answer = answer

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http" or scope["method"] != "GET" or scope.get("root_path"):
            return Match.NONE, {}
        arguments = self._read(scope["path"], scope["query_string"])
        if arguments is None:
            return Match.NONE, {}
        return Match.FULL, {"route": self._route, "endpoint": self._route.endpoint, _ARGUMENTS: arguments}

    async def answer(self, request: Request) -> Response:
        """To a request that has what `matches` gave. Raises the errors of its function."""
        return await self._answer(request, request.scope[_ARGUMENTS])

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self.answer(Request(scope, receive, send))
        await response(scope, receive, send)


class Shortcuts:
    """ASGI middleware: answers a request that one of the shortcuts knows and that has no body. It stands for the layers
    within, which do nothing else for such a request: it is answered in time, and an error becomes a problem."""

    def __init__(self, app: ASGIApp, shortcuts: Sequence[Shortcut], seconds: float) -> None:
        self._app = app
        self._shortcuts = shortcuts
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET" and not has_body(scope):
            for shortcut in self._shortcuts:
                match, found = shortcut.matches(scope)
                if match is Match.FULL:
                    scope.update(found)
                    response = await self._answered(shortcut, Request(scope, receive, send))
                    await response(scope, receive, send)
                    return
        await self._app(scope, receive, send)

    async def _answered(self, shortcut: Shortcut, request: Request) -> Response:
        try:
            async with asyncio.timeout(self._seconds) as timeout:
                return await shortcut.answer(request)
        except Exception as error:
            return late() if timeout.expired() else await failures.answer(request, error)


def shortcuts() -> list[Shortcut]:
    """Those that come most are first."""
    return [
        Shortcut(_route(tenants.router, "get_tenant"), _one, _for_viewers(tenants.get_tenant)),
        Shortcut(_route(tenants.router, "list_tenants"), _page, _for_viewers(tenants.list_tenants)),
        Shortcut(_route(health.router, "get_health"), _health, _health_answer),
    ]


def _route(router: APIRouter, operation_id: str) -> APIRoute:
    return next(one for one in router.routes if isinstance(one, APIRoute) and one.operation_id == operation_id)


def _for_viewers(function: Callable[..., Awaitable[Response]]) -> Callable[[Request, Arguments], Awaitable[Response]]:
    viewer = Requires("viewer")

    async def answer(request: Request, arguments: Arguments) -> Response:
        token = await viewer(request)
        return await function(here=await of(request), token=token, **arguments)

    return answer


async def _health_answer(request: Request, arguments: Arguments) -> Response:
    return await health.get_health()


_TENANTS = "/v1/tenants"


def _one(path: str, query: bytes) -> Arguments | None:
    head, _, name = path.rpartition("/")
    return {"name": name} if head == _TENANTS and name and not query else None


def _page(path: str, query: bytes) -> Arguments | None:
    if path != _TENANTS:
        return None
    if not query:
        return {}
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    given = dict(pairs)
    limit, cursor = given.pop("limit", "50"), given.pop("cursor", None)
    # `limit` only in the form in which everybody writes it: the framework also reads "+5" and " 5".
    plain = limit.isascii() and limit.isdigit() and 1 <= len(limit) <= 3 and 1 <= int(limit) <= MOST
    if given or len(pairs) > 2 or not plain or len(cursor or "") > LONGEST_CURSOR:
        return None
    return {"limit": int(limit), "cursor": cursor}


def _health(path: str, query: bytes) -> Arguments | None:
    return {} if path == "/healthz" else None
