"""Who runs on this machine. Linux only (`/proc`). Standard library only: the keeper stays in memory once per tenant."""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from providers.compute.process.files import Json

KERNEL_THREADS = 2
"""The pid of the parent of all of them."""


class Seen:
    """One look at a process: when it started (ticks since boot), its session, its parent, and whether it still runs."""

    __slots__ = ("alive", "parent", "pid", "session", "start")

    def __init__(self, pid: int, fields: list[bytes]) -> None:
        self.pid = pid
        self.parent, self.session, self.start = int(fields[1]), int(fields[3]), int(fields[19])
        # A leader that ended before its threads looks like a zombie, and the process runs on.
        self.alive = fields[0] not in (b"Z", b"X") or int(fields[17]) > 1


def boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def look(pid: int) -> Seen | None:
    """None: no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return Seen(pid, file.read().rpartition(b")")[2].split())
    except (FileNotFoundError, ProcessLookupError):
        return None


def everybody() -> dict[int, Seen]:
    """All that run."""
    found = ((int(name), look(int(name))) for name in os.listdir("/proc") if name.isdigit())
    return {pid: seen for pid, seen in found if seen is not None and seen.alive}


def runs(run: Json | None) -> bool:
    """Does the process of this `run.json` run? Never fooled by a pid that was used again."""
    if not run or "pid" not in run or run.get("boot") != boot_id():
        return False
    found = look(run["pid"])
    return found is not None and found.alive and found.start == int(run["start"])


def session_of(run: Json | None, among: dict[int, Seen] | None = None) -> set[int]:
    """The pids of the command's session that still run: itself and what it started, also after its own end.

    The kernel keeps a pid from being used again while a session bears it, so a stranger under that pid means that the
    session is gone."""
    if not run or "pid" not in run or run.get("boot") != boot_id():
        return set()
    leader = look(run["pid"])
    if leader is not None and leader.start != run["start"]:
        return set()
    among = everybody() if among is None else among
    return {pid for pid, seen in among.items() if seen.session == run["pid"]}


def anybody(uid: int) -> bool:
    """Something runs with this real uid, or is dead and not waited for yet. The kernel's own look: cheap, and exact."""
    try:
        os.getpriority(os.PRIO_USER, uid)
    except ProcessLookupError:
        return False
    return True


def processes_of(uid: int, among: dict[int, Seen] | None = None) -> set[int]:
    """The pids that run with this uid, be it real, effective or saved. Those that hide their owner in /proc (a process
    may make itself undumpable) are found as well."""
    among = everybody() if among is None else among
    return {pid for pid, seen in among.items() if seen.parent != KERNEL_THREADS and uid in uids_of(pid)}


def uids_of(pid: int) -> set[int]:
    """Real, effective, saved and for files; empty: no such process."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            for line in file:
                if line.startswith(b"Uid:"):
                    return {int(word) for word in line.split()[1:]}
    except (FileNotFoundError, ProcessLookupError):
        pass
    return set()


def descendants(of: set[int], among: dict[int, Seen]) -> set[int]:
    """What they started, and what that started, as far as the chain is whole; themselves not counted."""
    found: set[int] = set()
    newest = of
    while newest:
        newest = {pid for pid, seen in among.items() if seen.parent in newest} - found - of
        found |= newest
    return found


def signal_process(pid: int, number: int, still: Callable[[Seen], bool]) -> None:
    """Signal it if it is `still` the one that was meant: a pid may be somebody else's by now. Gone is fine."""
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
