"""Bodies over a limit (the API's: 256 KiB) are refused before anything parses them, with or without a
Content-Length."""

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controlplane.api.problem import problem_response

MAX_BODY = 256 * 1024
_DRAIN = 8 * 1024 * 1024
"""If a body is too large, this much of it is read and dropped: a client that is still sending would not see our
answer."""
_ARRIVAL_SECONDS = 30.0


def has_body(scope: Scope) -> bool:
    """A request without one of these headers has none."""
    return any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])


class BodyLimit:
    """ASGI middleware: the body is complete and small before the application runs."""

    def __init__(self, app: ASGIApp, most: int = MAX_BODY) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not has_body(scope):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            async with asyncio.timeout(_ARRIVAL_SECONDS):
                body = await _read(headers, receive, self._most)
        except TimeoutError:
            response = problem_response("request_timeout", "the body did not arrive in time")
            await response(scope, receive, send)
            return
        if body is None:
            response = problem_response("payload_too_large", f"a body may have {self._most} bytes at most")
            await response(scope, receive, send)
            return
        await self._app(scope, _replayed(body, receive), send)


async def _read(headers: Headers, receive: Receive, most: int) -> bytes | None:
    """The body, or None if it is too large."""
    announced = headers.get("content-length", "")
    if announced.isdigit() and int(announced) > most and "expect" in headers:
        return None
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b"".join(chunks)
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= most:
            chunks.append(chunk)
        if size > _DRAIN:
            return None
        if not message.get("more_body", False):
            return b"".join(chunks) if size <= most else None


def _replayed(body: bytes, receive: Receive) -> Receive:
    told = False

    async def replay() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
