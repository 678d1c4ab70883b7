"""How long work has waited for a core on this machine, as its kernel counts it (pressure stall information)."""

import platform
import time
from pathlib import Path
from typing import TypedDict

OF_CPU = (Path("/sys/fs/cgroup/cpu.pressure"), Path("/proc/pressure/cpu"))
"""That of this container, if it is one with a bound of its own, else that of the machine."""


class Reading(TypedDict):
    """`waited`: seconds in which at least one task waited for a core, of all that have passed until `at`. Only the
    difference of two readings of one machine says something."""

    machine: str
    waited: float
    at: float


def read() -> Reading | None:
    """None: this kernel does not count it."""
    for path in OF_CPU:
        try:
            some = path.read_text().splitlines()[0]
            microseconds = int(some.rpartition("total=")[2])
        except (OSError, ValueError, IndexError):
            continue
        return {"machine": platform.node(), "waited": microseconds / 1e6, "at": time.monotonic()}
    return None
