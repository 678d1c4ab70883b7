"""HEAD wherever GET is (RFC 9110, section 9.3.2): uptime monitors and load balancers send it."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Head:
    """ASGI middleware. A HEAD runs as its GET, and its answer has the GET's status and headers, and no body.

    A stream ends with its headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            elif message.get("more_body", False):
                raise _Answered

        # The layers around share this dictionary: the log reads what was noted below. The route is counted there.
        scope.setdefault("state", {})
        asked = {**scope, "method": "GET"}
        try:
            await self._app(asked, receive, without_body)
        except _Answered:
            return
        finally:
            if "route" in asked:
                scope["route"] = asked["route"]


class _Answered(Exception):
    """The headers are sent, and the rest is for nobody."""
