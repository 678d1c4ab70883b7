"""What our own processes do so that nobody looks into them: they hold the admin token and tenants' secrets."""

import ctypes
import resource
from pathlib import Path

PR_SET_DUMPABLE = 4
CAP_SYS_PTRACE = 19


def forbid_core_dumps() -> None:
    """Of this process and of all that it starts from now on."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def hide() -> None:
    """Close this process's memory and environment to everybody who may not trace any process, and keep it so in its
    forks; an exec ends it.

    Only where we may trace any process ourselves, which is what root may outside of most containers: else `down`, which
    knows our processes by their environment, would no longer find them."""
    if _may_trace():
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def _may_trace(status: Path = Path("/proc/self/status")) -> bool:
    lines = (line for line in status.read_text().splitlines() if line.startswith("CapEff:"))
    return any(int(line.split()[1], 16) >> CAP_SYS_PTRACE & 1 for line in lines)
