"""The steps by which a process of ours becomes the tenant's. Standard library only, for the keeper.

The order matters: limits while we still may set them, then the account, and only then anything of the tenant's.
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
    """Forbid core dumps of this process, and hide its memory and environment from others of our uid, until an exec."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(PR_SET_DUMPABLE, 0)


def confine(uid: int | None, *, pids: int | None, memory_mib: int | None) -> None:
    """Set limits, then become `uid`. `pids`, `memory_mib`: limits that no cgroup enforces; the memory of each process
    is then measured alone.

    `uid` None: the account stays ours. Then there is no limit of processes, since it would count all of ours. Raises
    OSError."""
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
        os._exit(126)  # never run with another account
    _leave_keyring()
    # Until exec it holds our memory: even the tenant's other version must not look into it.
    _prctl(PR_SET_DUMPABLE, 0)
    os.umask(0o077)


def _leave_keyring() -> None:
    """Join an empty session keyring. The inherited one gives its holder the right to read its keys, and root's may hold
    tickets. If the machine has no keyrings, or a container blocks them, there is nothing to leave."""
    number = KEYCTL.get(os.uname().machine)
    if number is not None:
        ctypes.CDLL(None).syscall(number, JOIN_SESSION_KEYRING, None, 0, 0, 0)


def _prctl(option: int, value: int) -> None:
    """Raises OSError."""
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
