"""The ports of an installation. They derive from LANDLORD_PORT, so that two installations on one machine do not
collide, and each gets the same ports again.

The two that people type follow Ray's defaults (port 8000 has its dashboard on 8265, its Ray client server on 10001).
The others come as one block from 24000–29999. That is above the ports that Ray hands out by itself (its client servers
take 23000–23999), and below the kernel's range for outgoing connections.
"""

import dataclasses
import socket
from collections.abc import Callable
from dataclasses import dataclass

from controlplane.errors import SettingsError

LOWEST, HIGHEST = 24000, 30000
BLOCK = 32
DASHBOARD_OFFSET = 8265 - 8000
CLIENT_OFFSET = 10001 - 8000
FREE_OF_REPLICAS = 8
"""So many ports of a block must be free for replicas. Serve passes over a taken one, and after an end the kernel keeps
those that replicas had for a minute: a restart within it must not move every other port."""
EPHEMERAL = 32768
"""From here on Linux uses ports for outgoing connections."""


@dataclass(frozen=True)
class Ports:
    """Every port of one installation that is not chosen by the kernel. All of them are bound to 127.0.0.1."""

    http: int
    dashboard: int
    client: int
    gcs: int
    node_manager: int
    object_manager: int
    agent_http: int
    agent_grpc: int
    runtime_env_agent: int
    metrics_export: int
    dashboard_metrics: int
    monitor_metrics: int
    proxy_fallback: int
    proxy_fallback_grpc: int
    proxy_metrics: int
    proxy_stats: int
    ingress_first: int
    """Serve replicas take their ports from here to `ingress_last`."""
    ingress_last: int


_BLOCK_NAMES = [field.name for field in dataclasses.fields(Ports)][1:-1]
_FIXED = _BLOCK_NAMES.index("ingress_first")


def is_free(port: int) -> bool:
    """True if no process listens on the port, on any address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def derive_ports(http: int, free: Callable[[int], bool] = is_free) -> Ports:
    """The ports that go with `http`. If a port of a block is taken that is not a replica's, the whole block is skipped.
    `http` itself is not checked.

    Raises SettingsError if no block is free.
    """
    blocks = (HIGHEST - LOWEST) // BLOCK
    for step in range(blocks):
        base = LOWEST + (http + step) % blocks * BLOCK
        block = range(base, base + BLOCK)
        ours, replicas = block[:_FIXED], block[_FIXED:]
        if http not in block and all(map(free, ours)) and sum(map(free, replicas)) >= FREE_OF_REPLICAS:
            break
    else:
        raise SettingsError(f"LANDLORD_PORT: no {BLOCK} free ports in a row between {LOWEST} and {HIGHEST}")
    chosen = dict(zip(_BLOCK_NAMES, block, strict=False))
    for name, offset in (("dashboard", DASHBOARD_OFFSET), ("client", CLIENT_OFFSET)):
        familiar = http + offset
        if familiar < EPHEMERAL and familiar not in block and free(familiar):
            chosen[name] = familiar
    return Ports(http=http, **chosen, ingress_last=block[-1])
