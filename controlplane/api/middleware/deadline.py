"""Every request is answered in time, with success or not: none piles up behind a hanging database or provider."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controlplane.api.problem import problem_response

_STATE = "deadline"


class Deadline:
    """ASGI middleware. If an answer has not begun `seconds` after the body arrived, it is 503 `overloaded`.

    An answer that has begun takes its time (Server-Sent Events). A change that is under way is not cut off: it runs to
    its end independently of the answer (see `background`), or asks whether its time has `passed`."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._seconds) as timeout:
                scope.setdefault("state", {})[_STATE] = timeout

                async def begin(message: Message) -> None:
                    timeout.reschedule(None)
                    await send(message)

                await self._app(scope, receive, begin)
        except TimeoutError:
            if not timeout.expired():
                raise
            await late()(scope, receive, send)


def late() -> Response:
    detail = "no answer in time; a change once begun runs to its end: ask again with the same Idempotency-Key"
    return problem_response("overloaded", detail, headers={"Retry-After": "1"})


def passed(request: Request) -> bool:
    """True if its time was over before its answer had begun."""
    timeout: asyncio.Timeout | None = getattr(request.state, _STATE, None)
    return timeout is not None and timeout.expired()


def extend(request: Request, seconds: float) -> None:
    """Give more time to a request that asked to wait, or whose work is known to take long."""
    timeout: asyncio.Timeout | None = getattr(request.state, _STATE, None)
    if timeout is not None and (when := timeout.when()) is not None:
        timeout.reschedule(when + seconds)
