"""What the process of a tenant's command does to itself before it is the tenant's. Standard library only.

The order is the point: limits while we still may set them, then the account, and only then anything of the tenant's.
"""

from __future__ import annotations

import ctypes
import os
import resource

PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38
KEYCTL = {"x86_64": 250, "aarch64": 219}
JOIN_SESSION_KEYRING = 1
MOST_FILES = 65536


def hide() -> None:
    """No core dump of this process, and nobody of our own uid reads its memory or its environment. Ends at exec."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(PR_SET_DUMPABLE, 0)


def confine(uid: int | None, *, pids: int | None, memory_mib: int | None) -> None:
    """`pids`, `memory_mib`: limits that no cgroup enforces; of memory each process alone is measured then.

    `uid` None: we stay who we are, and a limit on processes would count all of ours. Raises OSError."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    files = [
        MOST_FILES if found == resource.RLIM_INFINITY else min(found, MOST_FILES)
        for found in resource.getrlimit(resource.RLIMIT_NOFILE)
    ]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files[0], files[1]))
    if memory_mib is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (memory_mib << 20, memory_mib << 20))
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    if uid is None:
        return
    if pids is not None:
        resource.setrlimit(resource.RLIMIT_NPROC, (pids, pids))
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    if uid < 1 or os.getresuid() != (uid, uid, uid) or os.getgroups():
        os._exit(126)  # never as anybody else
    _leave_keyring()
    # Until exec it has our memory in it: also the tenant's other version must not look into it.
    _prctl(PR_SET_DUMPABLE, 0)
    os.umask(0o077)


def _leave_keyring() -> None:
    """A session keyring is inherited, and whoever has it may read what is in it: root's may hold tickets. Where the
    machine has no keyrings, or a container keeps them from us, there is nothing to leave."""
    number = KEYCTL.get(os.uname().machine)
    if number is not None:
        ctypes.CDLL(None).syscall(number, JOIN_SESSION_KEYRING, None, 0, 0, 0)


def _prctl(option: int, value: int) -> None:
    """Raises OSError."""
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
