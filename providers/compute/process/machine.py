"""The processes of this machine. Linux only (`/proc`). Standard library only, since the keeper stays in memory once per
tenant."""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from providers.compute.process.files import Json

KERNEL_THREADS = 2
"""The pid of their common parent."""


class Seen:
    """One look at a process: its start (ticks since boot), session and parent, and whether it still runs."""

    __slots__ = ("alive", "parent", "pid", "session", "start")

    def __init__(self, pid: int, fields: list[bytes]) -> None:
        self.pid = pid
        self.parent, self.session, self.start = int(fields[1]), int(fields[3]), int(fields[19])
        # If the first thread ends before the others, the process looks like a zombie and runs on.
        self.alive = fields[0] not in (b"Z", b"X") or int(fields[17]) > 1


def boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def look(pid: int) -> Seen | None:
    """One look at that process. None if there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return Seen(pid, file.read().rpartition(b")")[2].split())
    except (FileNotFoundError, ProcessLookupError):
        return None


def everybody() -> dict[int, Seen]:
    """All processes that run."""
    found = ((int(name), look(int(name))) for name in os.listdir("/proc") if name.isdigit())
    return {pid: seen for pid, seen in found if seen is not None and seen.alive}


def runs(run: Json | None) -> bool:
    """True if the process of this `run.json` runs. A pid that was used again does not deceive it."""
    if not run or "pid" not in run or run.get("boot") != boot_id():
        return False
    found = look(run["pid"])
    return found is not None and found.alive and found.start == run.get("start")


def session_of(run: Json | None, among: dict[int, Seen] | None = None) -> set[int]:
    """The pids of the command's session that still run: the command and its children, also after its own end.

    The kernel does not use a pid again while a session has it, so another process under that pid means that the session
    is gone."""
    if not run or "pid" not in run or run.get("boot") != boot_id():
        return set()
    leader = look(run["pid"])
    if leader is not None and leader.start != run.get("start"):
        return set()
    among = everybody() if among is None else among
    return {pid for pid, seen in among.items() if seen.session == run["pid"]}


def anybody(uid: int) -> bool:
    """True if a process has this real uid, zombies included. The kernel itself looks, which is cheap and exact."""
    try:
        os.getpriority(os.PRIO_USER, uid)
    except ProcessLookupError:
        return False
    return True


def processes_of(uid: int, among: dict[int, Seen] | None = None) -> set[int]:
    """The pids of the processes with this uid, real, effective or saved. Processes that hide their owner in /proc (by
    making themselves undumpable) are found too."""
    among = everybody() if among is None else among
    return {pid for pid, seen in among.items() if seen.parent != KERNEL_THREADS and uid in uids_of(pid)}


def uids_of(pid: int) -> set[int]:
    """The process's real, effective, saved and file system uids. Empty if there is no such process."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            for line in file:
                if line.startswith(b"Uid:"):
                    return {int(word) for word in line.split()[1:]}
    except (FileNotFoundError, ProcessLookupError):
        pass
    return set()


def descendants(of: set[int], among: dict[int, Seen]) -> set[int]:
    """Their children, and the children of those, as far as the chain of parents is whole; without themselves."""
    found: set[int] = set()
    newest = of
    while newest:
        newest = {pid for pid, seen in among.items() if seen.parent in newest} - found - of
        found |= newest
    return found


def signal_process(pid: int, number: int, still: Callable[[Seen], bool]) -> None:
    """Signal the process if it is `still` the one that was meant: another process may have its pid by now. A process
    that is gone is no error."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        seen = look(pid)
        if seen is not None and still(seen):
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        pass
    finally:
        os.close(handle)
