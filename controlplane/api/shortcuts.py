"""The reads that come thousands of times a second, past the framework's own way to a route.

That way looks at each route twice, and solves parameters and dependencies again for each request: for a GET of one
tenant about as much work as all the rest. A shortcut knows one plain form of a request. Every other form is none of its
own, and takes the ordinary way; so both must answer the same (tests/integration/test_api_shortcuts.py).
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from controlplane.api.paging import LONGEST_CURSOR, MOST
from controlplane.api.replica import of
from controlplane.api.routers import health, tenants
from controlplane.api.security import Requires

Arguments = Mapping[str, Any]
"""For the function of the route, besides `here` and `token`."""
_ARGUMENTS = "landlord.arguments"


class Shortcut(BaseRoute):
    """One GET. In the application it stands before the routers, within the same layers: whatever its function raises is
    answered as on the ordinary way.

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

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        response = await self._answer(request, scope[_ARGUMENTS])
        await response(scope, receive, send)


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
