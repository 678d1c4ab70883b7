"""The processes of one home. We end our processes by pid, never by name.

Each of them inherits the id of its home in its environment from the Ray head. Some of Ray's own (agents, dashboard
modules) write their title over it; we recognise those by that title together with the working directory, which they
inherit as well. Tenants' compute and the embedded Postgres get neither.
"""

import contextlib
import signal
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

from controlplane.errors import Unavailable

HOME_ID_VARIABLE = "LANDLORD_INTERNAL_HOME_MARK"
RAY_TITLES = ("ray::", "ray-dashboard-")
GRACE_SECONDS = 3.0
KILL_SECONDS = 10.0
POLL_SECONDS = 0.1


def find_processes(home_id: str, directory: Path) -> list[psutil.Process]:
    """Every living process of the home with this id whose Ray works in `directory`, except us and our ancestors."""
    # psutil keeps what it has seen, and refuses to signal the new process of a pid that was used again.
    psutil.process_iter.cache_clear()
    spared = {process.pid for process in [psutil.Process(), *psutil.Process().parents()]}
    return [p for p in psutil.process_iter() if p.pid not in spared and is_ours(p, home_id, directory)]


def is_ours(process: psutil.Process, home_id: str, directory: Path) -> bool:
    """False for zombies, and for processes that we may not inspect."""
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        if process.environ().get(HOME_ID_VARIABLE) == home_id:
            return True
        title = process.cmdline()
        return bool(title) and title[0].startswith(RAY_TITLES) and process.cwd() == str(directory)
    except (psutil.Error, OSError):
        return False


def name_of(process: psutil.Process) -> str:
    """Empty if the process has ended, or if we may not inspect it."""
    try:
        return process.name()
    except psutil.Error:
        return ""


def end_processes(home_id: str, directory: Path) -> int:
    """End them all: SIGTERM, then SIGKILL for those left after 3 s. Returns their number.

    Processes that appear during this (a raylet may start a worker while it ends) are ended too. Raises Unavailable if
    some survive SIGKILL; only the kernel can cause that.
    """
    ended: set[int] = set()
    start = time.monotonic()
    while found := find_processes(home_id, directory):
        elapsed = time.monotonic() - start
        if elapsed > GRACE_SECONDS + KILL_SECONDS:
            raise Unavailable(f"these processes do not end: {', '.join(str(process.pid) for process in found)}")
        if elapsed > GRACE_SECONDS:
            _signal(found, signal.SIGKILL)
        else:
            _signal([process for process in found if process.pid not in ended], signal.SIGTERM)
        ended.update(process.pid for process in found)
        time.sleep(POLL_SECONDS)
    return len(ended)


def _signal(processes: Iterable[psutil.Process], sign: signal.Signals) -> None:
    for process in processes:
        # psutil compares the start time first, so if the pid now belongs to another process, that one is left alone.
        with contextlib.suppress(psutil.Error):
            process.send_signal(sign)
