"""The end of a tenant's command and of all processes that come from it, even if they try to escape.

First the command's session, or its cgroup if it has one, is killed. Then the strays are killed: all other processes
with the tenant's uid, except those of the same tenant's other versions. Standard library only, for the keeper.
"""

from __future__ import annotations

import os
import signal
import time

from providers.compute.process import cgroups
from providers.compute.process.everyone import signal_uid
from providers.compute.process.files import read_json
from providers.compute.process.machine import (
    Seen,
    anybody,
    descendants,
    everybody,
    look,
    processes_of,
    session_of,
    signal_process,
    uids_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from providers.compute.process.files import Json

END_SECONDS = 5.0
POLL_SECONDS = 0.02


def terminate(state: Json, run: Json | None, number: int = signal.SIGTERM) -> bool:
    """Send this signal to the command's session. False if no process of it runs."""
    if not _somebody(state):
        return False
    heard = session_of(run, _reach(run))
    _signal_session(heard, run, number)
    return bool(heard)


def what_runs(directory: str, state: Json, run: Json | None) -> set[int]:
    """The pids of the command in this directory, of its children, and of strays."""
    if not _somebody(state):
        return set()
    among = everybody()
    return _own(run, among) | _strays(directory, state, among)


def end_own(run: Json | None) -> None:
    """Send SIGKILL to the command's session or cgroup."""
    group = (run or {}).get("cgroup")
    if group:
        cgroups.kill(group)
    else:
        _signal_session(session_of(run), run, signal.SIGKILL)


def end(directory: str, state: Json, run: Json | None) -> bool:
    """Send SIGKILL to all of it until nothing is left. False if something is left after END_SECONDS. Blocks."""
    deadline = time.monotonic() + END_SECONDS
    surely = False
    while what_runs(directory, state, run):
        if time.monotonic() > deadline:
            return False
        if surely:
            time.sleep(POLL_SECONDS)
        end_own(run)
        _end_strays(directory, state, surely)
        surely = True
    if run and run.get("cgroup"):
        cgroups.remove(run["cgroup"])
    return True


def _somebody(state: Json) -> bool:
    """False if no process has the tenant's uid: a quick look, which is the whole answer most of the time."""
    uid = state.get("uid")
    return uid is None or anybody(uid)


def _reach(run: Json | None) -> dict[int, Seen]:
    """The processes among which the session's are."""
    group = (run or {}).get("cgroup")
    if not group:
        return everybody()
    found = ((pid, look(pid)) for pid in cgroups.members(group))
    return {pid: seen for pid, seen in found if seen is not None and seen.alive}


def _own(run: Json | None, among: dict[int, Seen]) -> set[int]:
    group = (run or {}).get("cgroup")
    return session_of(run, among) | (cgroups.members(group) & set(among) if group else set())


def _strays(directory: str, state: Json, among: dict[int, Seen]) -> set[int]:
    """The processes with the tenant's uid that belong to none of its other versions."""
    uid = state.get("uid")
    if uid is None:
        return set()
    found = processes_of(uid, among)
    return found - _others(directory, uid, among) if found else found


def _others(directory: str, uid: int, among: dict[int, Seen]) -> set[int]:
    """The processes of the commands in other directories with this uid."""
    root, own = os.path.split(directory)
    found: set[int] = set()
    for name in os.listdir(root):
        state = None if name == own else read_json(f"{root}/{name}/state.json")
        if state and state.get("uid") == uid:
            found |= _own(read_json(f"{root}/{name}/run.json"), among)
    return found | descendants(found, among)


def _end_strays(directory: str, state: Json, surely: bool) -> None:
    """Kill the strays one by one. `surely`: also if they fork faster than we look. Then all processes of the uid are
    stopped in one step, the strays are killed, and the tenant's other versions continue."""
    uid = state.get("uid")
    strays = _strays(directory, state, everybody())
    if uid is None or not strays:
        return
    if not surely:
        _signal(strays, uid, signal.SIGKILL)
        return
    if not _others(directory, uid, everybody()):
        signal_uid(uid, signal.SIGKILL)
        return
    try:
        signal_uid(uid, signal.SIGSTOP)
        _signal(_strays(directory, state, everybody()), uid, signal.SIGKILL)
    finally:
        _signal(_others(directory, uid, everybody()), uid, signal.SIGCONT)


def _signal_session(pids: set[int], run: Json | None, number: int) -> None:
    for pid in pids:
        signal_process(pid, number, lambda seen: run is not None and seen.session == run["pid"])


def _signal(pids: set[int], uid: int, number: int) -> None:
    for pid in pids:
        signal_process(pid, number, lambda seen: uid in uids_of(seen.pid))
