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
import json
import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))))

from providers.compute.process import cgroups
from providers.compute.process.confinement import FOREVER_IGNORED, become, filled, hide
from providers.compute.process.ending import end, end_own
from providers.compute.process.files import Locked, read_json, states, write_json
from providers.compute.process.machine import boot_id, look, runs
from providers.compute.process.ports import TRIES, choose_port, hold_port, is_free, no_port

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

    from providers.compute.process.files import Json

LOG_BYTES = 1_000_000
QUIET_SECONDS, BUSY_SECONDS = 1.0, 0.1
"""The interval for measuring the log, while it is still and while it grows."""


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
                command = [filled(word, state, port) for word in state["command"]]
                os.write(say_failed, become(command, state, secrets, port, enforced, log).encode())
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
