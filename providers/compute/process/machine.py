"""Shared by the provider and its keeper: the processes of this machine, files that are never incomplete, ports.

Linux only (`/proc`, flock). Standard library only: the keeper stays in memory once per tenant.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing for real would cost every tenant a megabyte
    from typing import Any

    Json = dict[str, Any]

PORTS = range(20000, 30000)
"""Below the kernel's range for outgoing connections and Docker's published ports (32768 on), and outside Ray's (10002
to 19999). So a port that is free now is likely still free when the command binds it."""
LOCK_SECONDS = 10.0


# --- facts about the machine -----------------------------------------------------------------------------------------


def boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def look(pid: int) -> tuple[int, int, bool] | None:
    """Start time (ticks since boot), session and whether it still runs (no zombie). None: no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(fields[19]), int(fields[3]), fields[0] not in (b"Z", b"X")


def runs(run: Json | None) -> bool:
    """True if the process of this `run.json` runs. A reused pid does not fool it."""
    if not run or "pid" not in run or run.get("boot") != boot_id():
        return False
    found = look(run["pid"])
    return found is not None and found[2] and found[0] == run.get("start")


def session_of(run: Json | None) -> list[int]:
    """The running pids of the command's session: itself and its children, also after its own end.

    The kernel does not reuse a pid while a session has it. So if another process has that pid, the session is gone."""
    if not run or "pid" not in run or run.get("boot") != boot_id():
        return []
    leader = look(run["pid"])
    if leader is not None and leader[0] != run.get("start"):
        return []
    found = ((int(name), look(int(name))) for name in os.listdir("/proc") if name.isdigit())
    return [pid for pid, seen in found if seen is not None and seen[1] == run["pid"] and seen[2]]


def signal_session(run: Json | None, number: int) -> None:
    for pid in session_of(run):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


# --- files -----------------------------------------------------------------------------------------------------------


def read_json(path: str) -> Json | None:
    """The object in that file. None if there is none, or an incomplete one."""
    try:
        with open(path) as file:
            value = json.load(file)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def write_json(path: str, value: Json) -> None:
    """Write the object: readers see the old one or the new one. Mode 0600: it may hold a tenant's secrets."""
    written = f"{path}.{os.getpid()}"
    file = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(file, json.dumps(value).encode())
        os.fsync(file)
    finally:
        os.close(file)
    os.replace(written, path)


class Locked:
    """`with Locked(path):` holds an exclusive flock on a file, and makes the file if it is missing. Raises
    TimeoutError."""

    def __init__(self, path: str, seconds: float = LOCK_SECONDS) -> None:
        self.path, self.seconds, self.file = path, seconds, -1

    def __enter__(self) -> Locked:
        deadline = time.monotonic() + self.seconds
        while True:
            self.file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(self.file)
                if time.monotonic() >= deadline:
                    raise TimeoutError(f"locked by another process for {self.seconds:g} s") from None
                time.sleep(0.02)
                continue
            if self._is_at_path():
                return self
            os.close(self.file)

    def __exit__(self, *_: object) -> None:
        os.close(self.file)

    def _is_at_path(self) -> bool:
        """True if the locked file is still at its path: a lock on a removed file guards nothing. Raises
        FileNotFoundError if its directory is gone as well."""
        try:
            return os.stat(self.path).st_ino == os.fstat(self.file).st_ino
        except FileNotFoundError:
            os.stat(os.path.dirname(self.path))
            return False


def is_locked(path: str) -> bool:
    """True if a process holds that lock now. Raises FileNotFoundError."""
    file = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


# --- ports -----------------------------------------------------------------------------------------------------------


def is_free(port: int) -> bool:
    """True if no process listens there, on loopback or on any address."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def hold_port(port: int) -> socket.socket | None:
    """Keep other homes' tenants on this machine off a port until the socket is closed or its process ends: an abstract
    Unix address can be bound once. It bridges the moment until the command itself listens. None: another process holds
    the port."""
    holder = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        holder.bind(f"\0landlord-port-{port}")
    except OSError:
        holder.close()
        return None
    return holder


def choose_port(root: str) -> int:
    """A free port that no other tenant under `root` holds, running or stopped. Call it under the lock of `root`.

    Raises OSError (EADDRINUSE) if there is none."""
    held = set()
    for name in os.listdir(root):
        state = read_json(f"{root}/{name}/state.json")
        if state:
            held.add(state.get("port"))
    start = int.from_bytes(os.urandom(4), "big")
    for offset in range(len(PORTS)):
        port = PORTS[(start + offset) % len(PORTS)]
        if port not in held and is_free(port):
            return port
    raise OSError(errno.EADDRINUSE, f"no port between {PORTS[0]} and {PORTS[-1]} is free")
