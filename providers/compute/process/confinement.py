"""The steps by which a process of ours becomes the tenant's. Standard library only, for the keeper.

The order matters: limits while we still may set them, then the account, and only then anything of the tenant's.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import signal

from providers.compute.process.ports import LOOPBACK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from providers.compute.process.files import Json

PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38
KEYCTL = {"x86_64": 250, "aarch64": 219}
JOIN_SESSION_KEYRING = 1
MOST_FILES = 65536
FOREVER_IGNORED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


def hide() -> None:
    """Forbid core dumps of this process, and hide its memory and environment from others of our uid, until an exec."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(PR_SET_DUMPABLE, 0)


def become(command: list[str], state: Json, secrets: Json, port: int, enforced: set[str], log: int) -> str:
    """Turn this process into the tenant's: own session, no descriptors but 0 to 2, nothing of our environment, and its
    own account before anything of the tenant's is opened.

    Returns only if that fails: the errno, a space, and the reason for a person."""
    os.setsid()
    for undo in (_reset_niceness, _reset_oom_score):
        with contextlib.suppress(PermissionError):
            undo()  # Ray's workers run at nice 15 and are the kernel's first victims; root may undo that
    for number in (*FOREVER_IGNORED, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.umask(0o022)
    for source, target in ((os.open("/dev/null", os.O_RDONLY), 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    limits = {name: limit for name, limit in (state.get("resources") or {}).items() if name not in enforced}
    try:
        confine(state.get("uid"), pids=limits.get("pids"), memory_mib=limits.get("memory_mib"))
    except OSError as error:
        return f"{error.errno} the command cannot be given an account of its own: {error.strerror}"
    try:
        os.chdir(state["workdir"] or state["work"])
    except OSError as error:
        return f"{error.errno} the command cannot start in {state['workdir'] or 'its own directory'}: {error.strerror}"
    plain = {name: value for name, value in state["env"].items() if name not in secrets}
    given = {name: filled(value, state, port) for name, value in plain.items()} | secrets
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    refused = _execute(command, {**kept, "HOME": state["work"], **given})
    missing = isinstance(refused, FileNotFoundError) and "/" not in command[0]
    why = "not found" if missing else refused.strerror
    return f"{refused.errno} the command {command[0]!r} cannot be started: {why}"


def filled(text: str, state: Json, port: int) -> str:
    """With the tenant's own port and address instead of `{port}` and `{address}`."""
    return str(text.replace("{port}", str(port)).replace("{address}", state.get("address") or LOOPBACK))


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


def _execute(command: list[str], env: dict[str, str]) -> OSError:
    """As `os.execvpe`, which imports a module first: this account may not be able to read our modules. An error in one
    directory of PATH counts only if no later directory has the program. A directory that this account may not enter
    counts as empty, since PATH is ours."""
    name = command[0]
    directories = [""] if "/" in name else [f"{place or '.'}/" for place in env.get("PATH", os.defpath).split(":")]
    first: OSError | None = None
    last = OSError()
    for directory in directories:
        try:
            os.execve(f"{directory}{name}", command, env)
        except (FileNotFoundError, NotADirectoryError) as error:
            last = error
        except OSError as error:
            if directory and not os.access(directory, os.X_OK):
                last = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            else:
                first = first or error
    return first or last


def _reset_niceness() -> None:
    os.setpriority(os.PRIO_PROCESS, 0, 0)


def _reset_oom_score() -> None:
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("0")
