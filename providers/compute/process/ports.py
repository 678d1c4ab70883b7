"""Ports of commands, without races between the tenants of this machine. Standard library only, for the keeper."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import IO

    from providers.compute.process.files import Json

PORTS = range(20000, 30000)
"""Below the kernel's range for outgoing connections and Docker's published ports (32768 on), beside Ray's (10002 to
19999): a port that is free now is likely still free when the command binds it."""
HOLDS = "/run/landlord/ports" if os.geteuid() == 0 else f"/tmp/landlord-{os.geteuid()}/ports"
"""The directory with a file for each port that is held. No tenant of root's and no other account can hold one here."""
TRIES = 50
LOOPBACK = "127.0.0.1"
"""Where a tenant is reached, unless this machine has an address in a cluster."""


def is_free(port: int) -> bool:
    """True if no process listens there, on loopback or on any address."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def hold_port(port: int) -> IO[str] | None:
    """Keep other homes' tenants on this machine off a port until the file is closed or its process ends. It bridges the
    moment until the command itself listens. None: another process holds the port. Raises PermissionError if the
    directory of holds is open to other accounts."""
    _private(os.path.dirname(HOLDS))
    _private(HOLDS)
    holder = open(f"{HOLDS}/{port}", "a")  # noqa: SIM115, the caller closes it
    try:
        fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder.close()
        return None
    return holder


def choose_port(states: Iterable[Json]) -> int:
    """A free port that none of these tenants holds, running or stopped. Call it under the lock of their root.

    Raises OSError (EADDRINUSE) if there is none."""
    held = {state.get("port") for state in states}
    start = int.from_bytes(os.urandom(4), "big")
    for offset in range(len(PORTS)):
        port = PORTS[(start + offset) % len(PORTS)]
        if port not in held and is_free(port):
            return port
    raise no_port()


def no_port() -> OSError:
    return OSError(errno.EADDRINUSE, f"no port between {PORTS[0]} and {PORTS[-1]} is free")


def _private(directory: str) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(directory, 0o700)
    found = os.lstat(directory)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PermissionError(errno.EACCES, f"{directory} is open to other accounts")
