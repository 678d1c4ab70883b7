"""Both clients behind one face, so that one test runs with each, and what a server answers them."""

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice
from typing import Any

import httpx
import pytest

from landlord_client import AsyncClient, Client

Handler = Callable[[httpx.Request], httpx.Response]
URL = "https://landlord.test/"


class FakeTime:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)

    def clock(self) -> float:
        return self.now


class Either:
    """A client of one kind. `call` an operation by its name, or take `some` items of a stream."""

    def __init__(self, kind: type[Client] | type[AsyncClient], handler: Handler) -> None:
        self.time = FakeTime()
        transport = httpx.MockTransport(handler)
        if issubclass(kind, Client):
            self.there: Any = kind(URL, "secret", transport=transport, sleep=self.time.sleep, clock=self.time.clock)
        else:
            self.there = kind(URL, "secret", transport=transport, sleep=self.time.asleep, clock=self.time.clock)

    async def call(self, operation: str, *arguments: Any, **options: Any) -> Any:
        made = getattr(self.there, operation)(*arguments, **options)
        return await made if inspect.isawaitable(made) else made

    async def some(self, operation: str, *arguments: Any, most: int | None = None, **options: Any) -> list[Any]:
        stream = getattr(self.there, operation)(*arguments, **options)
        if isinstance(stream, Iterator):
            return list(islice(stream, most))
        return await _taken(stream, most)


Make = Callable[[Handler], Either]


@pytest.fixture(params=[Client, AsyncClient])
def make(request: pytest.FixtureRequest) -> Make:
    return lambda handler: Either(request.param, handler)


async def _taken(stream: AsyncIterator[Any], most: int | None) -> list[Any]:
    found: list[Any] = []
    while most is None or len(found) < most:
        try:
            found.append(await anext(stream))
        except StopAsyncIteration:
            break
    return found


def answering(*answers: httpx.Response | Exception) -> tuple[Handler, list[httpx.Request]]:
    """A handler that gives one answer after another, and the requests that it saw."""
    left: Iterator[httpx.Response | Exception] = iter(answers)
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return handle, seen


def tenant(status: str = "ready", state: str = "succeeded", **more: Any) -> dict[str, Any]:
    return {"id": "0190-id", "name": "acme", "status": status, "workflow": {"state": state}, "version": 3, **more}


def problem(status: int, code: str, **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"code": code, "detail": f"it is {code}"}, headers=headers)
