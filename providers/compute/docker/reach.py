"""Where ports of containers are reached from here."""

import ipaddress
from dataclasses import dataclass

EVERYWHERE = ("", "0.0.0.0", "::")


@dataclass(frozen=True, slots=True)
class Reach:
    """`host`: the engine's machine, None if it is this one."""

    host: str | None = None

    def at(self, bound: str) -> str | None:
        """The host of a URL for a port that is published on this address of the engine's machine. None: not from
        here."""
        if bound in EVERYWHERE:
            if self.host is not None:
                return _in_url(self.host)
            return "[::1]" if bound == "::" else "127.0.0.1"
        if self.host is not None and ipaddress.ip_address(bound).is_loopback:
            return None
        return _in_url(bound)


HERE = Reach()


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
