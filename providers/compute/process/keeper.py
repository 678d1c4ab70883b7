"""Keeps one tenant's process. The provider starts it; it detaches from its starter and outlives all of Landlord.

Run as `python -I -S keeper.py DIRECTORY LAUNCH [CGROUPS]`, with the values of secret variables as a JSON object on
stdin, since no file may hold them. It returns once the command runs or is known not to. LAUNCH is any unique text;
`run.json` repeats it. CGROUPS is the directory of the control groups, if we may write to them. Standard library only,
since it stays in memory once per tenant.

In DIRECTORY: `state.json` holds the command, `run.json` the result. `lock` is held while this process lives; it is the
primitive against a double start. `log` and `log.1` hold the output (see `output`). The command writes to `log` itself,
so that it lives on if this process is killed. Then the log's bound and the exit code are lost, and `run.json` still
shows, by pid and start time, whether the command runs.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))))

from providers.compute.process import cgroups
from providers.compute.process.confinement import confine, hide
from providers.compute.process.ending import end, end_own
from providers.compute.process.files import Locked, read_json, states, write_json
from providers.compute.process.machine import boot_id, look, runs
from providers.compute.process.ports import LOOPBACK, TRIES, choose_port, hold_port, is_free, no_port

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

    from providers.compute.process.files import Json

LOG_BYTES = 1_000_000
QUIET_SECONDS, BUSY_SECONDS = 1.0, 0.1
"""The interval for measuring the log, while it is still and while it grows."""
FOREVER_IGNORED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


def main(directory: str, launch: str, cgroup_root: str) -> None:
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    hide()
    secrets = json.load(sys.stdin)
    settled, settle = os.pipe()
    if os.fork():
        os.close(settle)
        os.read(settled, 1)  # ends when the other side closes it, by itself or by dying
        os._exit(0)
    os.close(settled)
    os.setsid()
    os.chdir("/")
    for number in FOREVER_IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    try:
        with Locked(f"{directory}/lock", seconds=0):
            run = read_json(f"{directory}/run.json")
            state = read_json(f"{directory}/state.json")
            if state and not runs(run):
                end(directory, state, run)
                keep(directory, state, secrets, launch, cgroup_root, settle)
    except (TimeoutError, FileNotFoundError):
        os._exit(0)  # another keeper has it, or it was destroyed


def keep(directory: str, state: Json, secrets: Json, launch: str, cgroup_root: str, settle: int) -> None:
    """Start the command, bound its log until it ends, and record how it ended."""
    try:
        os.chmod(directory, 0o700)  # an older release let other accounts through
        port, held = settled_port(directory, state)
        run = start(directory, state, secrets, launch, cgroup_root, port)
    except (OSError, KeyError, TypeError, ValueError) as error:
        code = getattr(error, "errno", None) or 0
        why = getattr(error, "strerror", None) or f"its record cannot be read ({error!r})"
        write_json(f"{directory}/run.json", {"launch": launch, "boot": boot_id(), "error": why, "code": code})
        return
    os.close(settle)
    secrets.clear()
    size = 0
    while "pid" in run and os.waitid(os.P_PID, run["pid"], os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        last, size = size, bound_log(directory)
        signal.sigtimedwait({signal.SIGCHLD}, QUIET_SECONDS if size == last else BUSY_SECONDS)
    if "pid" not in run:
        return
    # It is still a zombie, so no other process has its pid: the rest of the session is surely its own.
    end_own(run)
    status = os.waitstatus_to_exitcode(os.waitpid(run["pid"], 0)[1])
    end(directory, state, run)
    bound_log(directory)
    ending = {"exit_code": status} if status >= 0 else {"signal": -status}
    write_json(f"{directory}/run.json", {**run, **ending})
    held.close()


def start(directory: str, state: Json, secrets: Json, launch: str, cgroup_root: str, port: int) -> Json:
    """The new `run.json`: with a pid if the command runs; else with an `error` for a person and its errno."""
    uid = state.get("uid")
    group, enforced = own_group(cgroup_root, state)
    run: Json = {"launch": launch, "boot": boot_id(), "port": port, "cgroup": group}
    log = os.open(f"{directory}/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    go, say_go = os.pipe()
    failed, say_failed = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(say_go)
            # Wait until it is on record: if this keeper is killed before, no unknown process runs.
            if os.read(go, 1):
                os.write(say_failed, run_command(state, secrets, port, enforced, log).encode())
        finally:
            os._exit(127)
    os.close(go)
    os.close(say_failed)
    if uid is not None:
        os.fchown(log, uid, -1)  # so that the command may open /dev/stdout by name
    os.close(log)
    found = look(pid)
    run.update(pid=pid, start=found.start if found else 0, started_at=time.time())
    write_json(f"{directory}/run.json", run)
    if group:
        cgroups.join(group, pid)
    os.write(say_go, b"g")
    os.close(say_go)
    code, _, said = os.read(failed, 1000).decode(errors="replace").partition(" ")
    os.close(failed)
    if said:
        os.waitpid(pid, 0)
        if group:
            cgroups.remove(group)
        run = {"launch": launch, "boot": run["boot"], "error": said, "code": int(code)}
        write_json(f"{directory}/run.json", run)
    return run


def own_group(cgroup_root: str, state: Json) -> tuple[str, set[str]]:
    """A control group for the command and the limits that it enforces. Empty if no group can be made."""
    try:
        return cgroups.make(cgroup_root, state["id"], state.get("resources") or {}) if cgroup_root else ("", set())
    except OSError:
        return "", set()


def settled_port(directory: str, state: Json) -> tuple[int, IO[str]]:
    """The tenant's port, and the file that holds it. If another program has taken the port, choose a new one and put it
    into `state.json`. Raises OSError (EADDRINUSE) if TRIES free ports in a row are held by others."""
    held = hold_port(state["port"]) if is_free(state["port"]) else None
    for _ in range(TRIES):
        if held is not None:
            return int(state["port"]), held
        root = os.path.dirname(directory)
        with Locked(f"{root}/.lock"):
            state["port"] = choose_port(states(root))
            write_json(f"{directory}/state.json", state)
        held = hold_port(state["port"])
    raise no_port()


def run_command(state: Json, secrets: Json, port: int, enforced: set[str], log: int) -> str:
    """Turn this process into the tenant's: own session, no descriptors but 0 to 2, nothing of our environment, and its
    own account before anything of the tenant's is opened.

    Returns only if that fails: the errno, a space, and the reason for a person."""
    os.setsid()
    for undo in (reset_niceness, reset_oom_score):
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
    address = state.get("address") or LOOPBACK

    def filled(text: str) -> str:
        return str(text.replace("{port}", str(port)).replace("{address}", address))

    command = [filled(word) for word in state["command"]]
    plain = {name: value for name, value in state["env"].items() if name not in secrets}
    given = {name: filled(value) for name, value in plain.items()} | secrets
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    refused = execute(command, {**kept, "HOME": state["work"], **given})
    missing = isinstance(refused, FileNotFoundError) and "/" not in command[0]
    why = "not found" if missing else refused.strerror
    return f"{refused.errno} the command {command[0]!r} cannot be started: {why}"


def execute(command: list[str], env: dict[str, str]) -> OSError:
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


def reset_niceness() -> None:
    os.setpriority(os.PRIO_PROCESS, 0, 0)


def reset_oom_score() -> None:
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("0")


def bound_log(directory: str) -> int:
    """The log's size. If it had grown past LOG_BYTES, its end is moved to `log.1` first; a line may be lost in
    between."""
    path = f"{directory}/log"
    with open(path, "rb+") as log:
        size = log.seek(0, os.SEEK_END)
        if size <= LOG_BYTES:
            return size
        before = taken_away(path, size)
        log.seek(-LOG_BYTES, os.SEEK_END)
        with contextlib.suppress(OSError):  # the disk is full: all the more reason to truncate
            with open(f"{path}.new", "wb", opener=private) as older:
                older.write(log.read(LOG_BYTES))
            os.replace(f"{path}.new", f"{path}.1")
            write_json(f"{path}.moved", {"before": before, "moving": size})
        log.truncate(0)  # the command appends, so it continues at the new end
    with contextlib.suppress(OSError):
        write_json(f"{path}.moved", {"before": before + size, "moving": 0})
    return 0


def taken_away(path: str, size: int) -> int:
    """The bytes of earlier moves. The last one may have been cut off, before its truncation or after it."""
    moved = read_json(f"{path}.moved") or {}
    before, moving = moved.get("before", 0), moved.get("moving", 0)
    return int(before if size >= moving else before + moving)


def private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else "")
