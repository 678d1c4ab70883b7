"""The client whose calls are awaited: the same operations as those of `Client`."""

import asyncio
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import httpx

from landlord_client import history, installation, tenants
from landlord_client.driving import Connection, Progress, as_method
from landlord_client.exchange import Effect, Item, Listen, NextLine, Now, Operation, Request, Sleep, Stream

P = ParamSpec("P")
T = TypeVar("T")


def _call(operation: Callable[P, Operation[T]]) -> "Callable[Concatenate[AsyncClient, P], Awaitable[T]]":
    def method(self: "AsyncClient", /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
        return self._run(operation(*args, **kwargs))

    as_method(operation, method)
    return method


def _each(operation: Callable[P, Stream[T]]) -> "Callable[Concatenate[AsyncClient, P], AsyncGenerator[T, None]]":
    def method(self: "AsyncClient", /, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[T, None]:
        return self._iterate(operation(*args, **kwargs))

    as_method(operation, method)
    return method


class AsyncClient:
    """One connection pool to one control plane, for one event loop. Calls may run side by side.

    >>> import asyncio
    >>> from landlord_client import AsyncClient
    >>> async def main():
    ...     async with AsyncClient("https://landlord.example", "the-token") as there:
    ...         return there.url
    >>> asyncio.run(main())
    'https://landlord.example'
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout: float = 30.0,
        verify: ssl.SSLContext | bool = True,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`timeout`: seconds for one answer, on top of `wait`; `verify`: how to verify an https server, if not by the
        usual authorities. Tests inject the last three.

        Raises InsecureAddress if the token would cross a network in clear."""
        self._connection = Connection(url, token, timeout=timeout, verify=verify)
        self._http = httpx.AsyncClient(**self._connection.options, transport=transport)
        self._sleep = sleep
        self._clock = clock

    @property
    def url(self) -> str:
        return self._connection.url

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()

    create_tenant = _call(tenants.create_tenant)
    plan_create = _call(tenants.plan_create)
    get_tenant = _call(tenants.get_tenant)
    list_tenants = _call(tenants.list_tenants)
    iterate_tenants = _each(tenants.iterate_tenants)
    update_tenant = _call(tenants.update_tenant)
    plan_update = _call(tenants.plan_update)
    delete_tenant = _call(tenants.delete_tenant)
    retry_tenant = _call(tenants.retry_tenant)
    redeploy_tenant = _call(tenants.redeploy_tenant)
    restart_tenant = _call(tenants.restart_tenant)
    reconcile_tenant = _call(tenants.reconcile_tenant)
    pause_tenant = _call(tenants.pause_tenant)
    resume_tenant = _call(tenants.resume_tenant)
    tenant_logs = _call(tenants.tenant_logs)
    follow_logs = _each(tenants.follow_logs)
    exec_in_tenant = _call(tenants.exec_in_tenant)
    wait_tenant = _call(tenants.wait_tenant)

    get_execution = _call(history.get_execution)
    list_executions = _call(history.list_executions)
    iterate_executions = _each(history.iterate_executions)
    cancel_execution = _call(history.cancel_execution)
    list_events = _call(history.list_events)
    iterate_events = _each(history.iterate_events)
    watch = _each(history.watch)
    watch_matching = _each(history.watch_matching)

    list_providers = _call(installation.list_providers)
    list_nodes = _call(installation.list_nodes)
    drain_node = _call(installation.drain_node)
    undrain_node = _call(installation.undrain_node)
    provider_schema = _call(installation.provider_schema)
    create_token = _call(installation.create_token)
    iterate_tokens = _each(installation.iterate_tokens)
    revoke_token = _call(installation.revoke_token)
    list_pauses = _call(installation.list_pauses)
    pause = _call(installation.pause)
    resume = _call(installation.resume)
    consistency = _call(installation.consistency)
    metrics = _call(installation.metrics)
    verify_trail = _call(installation.verify_trail)

    async def _run(self, operation: Operation[T]) -> T:
        progress: Progress[T] = Progress(operation)
        async with _World(self._http, self._connection, self._sleep, self._clock) as world:
            while (effect := progress.effect()) is not None:
                await world.give(effect, progress)
        return progress.result  # type: ignore[no-any-return]

    async def _iterate(self, stream: Stream[T]) -> AsyncGenerator[T, None]:
        progress: Progress[T] = Progress(stream)
        async with _World(self._http, self._connection, self._sleep, self._clock) as world:
            while (effect := progress.effect()) is not None:
                if isinstance(effect, Item):
                    yield effect.value
                else:
                    await world.give(effect, progress)


class _World(AsyncExitStack):
    """Does what operations ask for. Holds the open stream of lines, one at most."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        connection: Connection,
        sleep: Callable[[float], Awaitable[None]],
        clock: Callable[[], float],
    ) -> None:
        super().__init__()
        self._http = http
        self._connection = connection
        self._sleep = sleep
        self._clock = clock
        self._lines: AsyncIterator[str] | None = None

    async def give(self, effect: Effect | Item[Any], progress: Progress[Any]) -> None:
        try:
            progress.given = await self._do(effect)
        except httpx.RequestError as error:
            progress.raised = self._connection.error(error)

    async def _do(self, effect: Effect | Item[Any]) -> Any:
        match effect:
            case Request():
                return self._connection.answer(await self._http.request(**self._connection.arguments(effect)))
            case Listen(request):
                await self.aclose()
                response = await self.enter_async_context(
                    self._http.stream(**self._connection.stream_arguments(request))
                )
                if not response.is_success:
                    await response.aread()
                self._lines = response.aiter_lines()
                return self._connection.answer(response, text=not response.is_success)
            case NextLine():
                return None if self._lines is None else await anext(self._lines, None)
            case Sleep(seconds):
                return await self._sleep(seconds)
            case Now():
                return self._clock()
