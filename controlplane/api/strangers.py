"""Requests without a valid token, counted by client address: many from one address are told to slow down, and take no
more of the log than a few lines a second. A valid token from the same address is let through all the same."""

import ipaddress
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import Scope

from controlplane.api.buckets import Buckets

AT_ONCE = 600
"""More than a client with a wrong token asks before somebody looks; a walk of the whole API fits."""
PER_SECOND = 5.0
_NETWORK = 64
"""An IPv6 client has a whole network of addresses."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """`seconds`: to wait before the next try, 0 for none. `logged`: this one is worth a line; `unlogged`: how many of
    the same address before it were not."""

    seconds: int
    logged: bool
    unlogged: int


class Strangers:
    """Per replica."""

    def __init__(self, at_once: int = AT_ONCE, per_second: float = PER_SECOND) -> None:
        self._refusals: Buckets[str] = Buckets(at_once, per_second)
        self._lines: Buckets[str] = Buckets(at_once, 1.0)
        self._unlogged: dict[str, int] = {}

    def refuse(self, client: str, now: float | None = None) -> Refusal:
        """Count one of this client."""
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
    """The address from which a request came: as HAProxy says, which overwrites what the client says of itself."""
    said = Headers(scope=scope).get("X-Forwarded-For", "").rpartition(",")[2].strip()
    peer = scope.get("client")
    for address in (said, peer[0] if peer else ""):
        try:
            return str(ipaddress.ip_address(address))
        except ValueError:
            continue
    return "-"


def _key(client: str) -> str:
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    return client if address.version == 4 else str(ipaddress.ip_network((client, _NETWORK), strict=False))
