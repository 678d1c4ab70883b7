"""The steps by which our own processes hide their memory: it holds the admin token and tenants' secrets."""

import ctypes
import resource
from pathlib import Path

PR_SET_DUMPABLE = 4
CAP_SYS_PTRACE = 19


def forbid_core_dumps() -> None:
    """Forbid core dumps of this process and of its future children."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def hide() -> None:
    """Hide the memory and environment of this process and of its forks from every account that may not trace any
    process. An exec ends it.

    It happens only if we may trace any process ourselves, as root may outside of most containers. Else `down`, which
    knows our processes by their environment, would not find them."""
    if _may_trace():
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def _may_trace(status: Path = Path("/proc/self/status")) -> bool:
    lines = (line for line in status.read_text().splitlines() if line.startswith("CapEff:"))
    return any(int(line.split()[1], 16) >> CAP_SYS_PTRACE & 1 for line in lines)
