"""HTTP to a server that means harm: a tenant's own. Nothing of one answer is there at the next."""

import sys
from collections.abc import Iterable
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib.util import find_spec
from ssl import SSLContext
from typing import Any

import anyio._backends._asyncio  # noqa: F401, by httpcore at a first connection: this way a fork has it already
import httpcore
import httpx

if find_spec("sniffio") is None:
    # httpcore tries to import it for each connection and each request, and Python searches all directories each time.
    sys.modules["sniffio"] = None  # type: ignore[assignment]  # Python's own mark for a module that is not there

MOST_BYTES = 64 * 1024
"""A server may send this much before its answer's header is complete."""
_AT_ONCE = 4096
"""Bytes of one read: what they hold is parsed without a pause for anything else on the loop."""


def no_cookies() -> CookieJar:
    """A jar that takes none. Cookies know no ports: those of one tenant would be sent to all on the same address."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))


class StrangerTransport(httpx.AsyncHTTPTransport):
    """One connection for each request. A server that sends headers or interim answers without end is left after
    MOST_BYTES: httpx.ReadError."""

    def __init__(self, ssl_context: SSLContext) -> None:
        super().__init__(verify=ssl_context)  # otherwise it reads all authorities of this machine, for nothing
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl_context,
            max_connections=None,
            max_keepalive_connections=0,
            network_backend=_Backend(),
        )


class _Backend(httpcore.AsyncNetworkBackend):
    def __init__(self) -> None:
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        return _Stream(await self._backend.connect_tcp(host, port, timeout, local_address, socket_options))

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)


class _Stream(httpcore.AsyncNetworkStream):
    """A stream of which only the first MOST_BYTES are read."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._left = MOST_BYTES

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._left <= 0:
            raise httpcore.ReadError(f"it sent {MOST_BYTES} bytes and no answer")
        found = await self._stream.read(min(max_bytes, self._left, _AT_ONCE), timeout)
        self._left -= len(found)
        return found

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        return _Stream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
