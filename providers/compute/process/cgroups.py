"""Control groups, version 2, if this machine has them and we may write to them. Each command has one, so that all its
children end with it, and share its limits. Standard library only, for the keeper.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

from providers.compute.process.machine import signal_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from providers.compute.process.files import Json

OURS = "landlord"
CONTROLLERS = ("memory", "pids", "cpu")
PERIOD = 100_000
"""Microseconds: in each period, a command may use its share of the CPUs."""
REMOVE_SECONDS = 1.0


def hierarchy(mounts: str = "/proc/self/mountinfo") -> str:
    """The directory where version 2 is mounted for writing. Empty if there is none, or if we are not root."""
    if os.geteuid() != 0:
        return ""
    with open(mounts) as file:
        for line in file:
            before, _, after = line.partition(" - ")
            place, options = before.split()[4:6]
            if after.startswith("cgroup2 ") and "rw" in options.split(",") and "rw" in after.split()[2].split(","):
                return place.replace("\\040", " ")
    return ""


def make(root: str, name: str, resources: Json) -> tuple[str, set[str]]:
    """A new group, or the empty one of that name, and which of `memory_mib`, `pids` and `cpu_millis` it enforces: that
    depends on the controllers of the machine. Raises OSError if no group can be made."""
    base = f"{root}/{OURS}"
    os.makedirs(base, exist_ok=True)
    for level in (root, base):
        for controller in CONTROLLERS:
            with contextlib.suppress(OSError):
                _write(f"{level}/cgroup.subtree_control", f"+{controller}")
    path = f"{base}/{name}"
    os.makedirs(path, exist_ok=True)
    return path, limit(path, resources)


def limit(path: str, resources: Json) -> set[str]:
    """Set the limits of that group. Returns those that it enforces."""
    enforced = set()
    for name, file, value in _limits(resources):
        with contextlib.suppress(OSError):
            _write(f"{path}/{file}", value)
            enforced.add(name)
    if "memory_mib" in enforced:
        with contextlib.suppress(OSError):
            _write(f"{path}/memory.swap.max", "0")
    return enforced


def join(path: str, pid: int) -> None:
    _write(f"{path}/cgroup.procs", str(pid))


def members(path: str) -> set[int]:
    """The pids in the group. Empty if it is gone."""
    try:
        with open(f"{path}/cgroup.procs") as file:
            return {int(line) for line in file}
    except OSError:
        return set()


def kill(path: str) -> None:
    """Send SIGKILL to the whole group at once (if the kernel can, from 5.14 on), and then one by one: the kernel skips
    a process whose first thread has ended."""
    with contextlib.suppress(OSError):
        _write(f"{path}/cgroup.kill", "1")
    for pid in members(path):
        signal_process(pid, signal.SIGKILL, lambda seen: seen.pid in members(path))


def remove(path: str) -> None:
    """Remove the group once it is empty. Processes that are just ending may delay that. A group that stays does no
    harm."""
    deadline = time.monotonic() + REMOVE_SECONDS
    while True:
        try:
            os.rmdir(path)
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() > deadline:
                return
            time.sleep(0.01)
        else:
            return


def _limits(resources: Json) -> list[tuple[str, str, str]]:
    found = []
    if resources.get("memory_mib"):
        found.append(("memory_mib", "memory.max", str(resources["memory_mib"] << 20)))
    if resources.get("pids"):
        found.append(("pids", "pids.max", str(resources["pids"])))
    if resources.get("cpu_millis"):
        found.append(("cpu_millis", "cpu.max", f"{resources['cpu_millis'] * PERIOD // 1000} {PERIOD}"))
    return found


def _write(path: str, text: str) -> None:
    file = os.open(path, os.O_WRONLY)  # never created: a missing file is a missing controller
    try:
        os.write(file, text.encode())
    finally:
        os.close(file)
