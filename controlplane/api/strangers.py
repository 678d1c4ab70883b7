"""Requests without a valid token, counted by client address. If many come from one address, it is asked to slow down,
and takes only a few lines of the log a second. A valid token from the same address is still let through."""

import ipaddress
from dataclasses import dataclass
from functools import lru_cache

from starlette.datastructures import Headers
from starlette.types import Scope

from controlplane.api.buckets import Buckets

AT_ONCE = 600
"""More than a client with a wrong token sends before a person looks; a walk of the whole API fits."""
PER_SECOND = 5.0
_LONGEST = 64
"""Characters of an address, and more."""
_NETWORK = 64
"""An IPv6 client has a whole network of addresses."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """`seconds`: wait before the next try, 0 for none. `logged`: this request gets a line; `unlogged`: number of
    earlier requests from the address without one."""

    seconds: int
    logged: bool
    unlogged: int


class Strangers:
    """The count of one replica."""

    def __init__(self, at_once: int = AT_ONCE, per_second: float = PER_SECOND) -> None:
        self._refusals: Buckets[str] = Buckets(at_once, per_second)
        self._lines: Buckets[str] = Buckets(at_once, 1.0)
        self._unlogged: dict[str, int] = {}

    def refuse(self, client: str, now: float | None = None) -> Refusal:
        """Count one request of this client."""
        key = _key(client)
        slowly, _, seconds = self._refusals.take(key, now)
        logged, _, _ = self._lines.take(key, now)
        if logged:
            return Refusal(0 if slowly else seconds, True, self._unlogged.pop(key, 0))
        if len(self._unlogged) > AT_ONCE:
            self._unlogged.clear()
        self._unlogged[key] = self._unlogged.get(key, 0) + 1
        return Refusal(0 if slowly else seconds, False, 0)


def client_of(scope: Scope) -> str:
    """The address of a request, from HAProxy, which overwrites the client's own claim."""
    said = Headers(scope=scope).get("X-Forwarded-For", "").rpartition(",")[2].strip()
    peer = scope.get("client")
    return _address(said[:_LONGEST]) or _address(peer[0] if peer else "") or "-"


@lru_cache(maxsize=1024)
def _address(text: str) -> str | None:
    """As it is always written; None if it is none."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def _key(client: str) -> str:
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    return client if address.version == 4 else str(ipaddress.ip_network((client, _NETWORK), strict=False))
