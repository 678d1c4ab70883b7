"""HTTP over connections that are not dialled by host and port: a Unix socket, or what a program leads to."""

import socket
from collections.abc import Callable, Mapping
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

SCHEME = "http+docker://"
BASE_URL = f"{SCHEME}engine"
"""The address of each request. The adapter alone knows where it goes."""


class DialledAdapter(HTTPAdapter):
    """For requests. `dial` makes a connection; `connections` of them are kept."""

    def __init__(self, dial: Callable[[], HTTPConnection], connections: int) -> None:
        self._pool = _Pool(dial, connections)
        super().__init__()

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,
        verify: bool | str | None,
        proxies: Mapping[str, str] | None = None,
        cert: Any = None,
    ) -> HTTPConnectionPool:
        return self._pool

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        return request.path_url

    def close(self) -> None:
        self._pool.close()
        super().close()


class UnixConnection(HTTPConnection):
    """The SDK's own leaves its socket open if no process listens. `made`: called each time that it is connected."""

    def __init__(self, path: str, timeout: float, made: Callable[[], None] = lambda: None) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path
        self._made = made

    def connect(self) -> None:
        dialled = socket.socket(socket.AF_UNIX)
        try:
            dialled.settimeout(self.timeout)
            dialled.connect(self._path)
        except BaseException:
            dialled.close()
            raise
        self.sock = dialled
        self._made()


class _Pool(HTTPConnectionPool):
    def __init__(self, dial: Callable[[], HTTPConnection], connections: int) -> None:
        super().__init__("localhost", maxsize=connections)
        self._dial = dial

    def _new_conn(self) -> HTTPConnection:
        self.num_connections += 1
        return self._dial()
