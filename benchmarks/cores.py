"""A part of the processor for some processes: a control group with a bound, of either version of the kernel's.

What is in such a group goes before what is in none, so that other work on this machine takes nothing of its part.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import psutil

ROOT = Path("/sys/fs/cgroup")
PERIOD_MICROSECONDS = 50_000
"""Of the bound. Who has used up a period waits for the next one: in long ones many short calls would wait, and in short
ones the kernel, which hands out 5 ms at a time, would leave a part unused."""
MOST_SHARES, MOST_WEIGHT = 262_144, 10_000


class Cores:
    """Raises OSError if this process may make no control groups. `directory`: of the group, which it makes."""

    def __init__(self, name: str) -> None:
        self._second = (ROOT / "cgroup.controllers").exists()
        self.directory = (ROOT if self._second else ROOT / "cpu") / name
        if self._second:
            (ROOT / "cgroup.subtree_control").write_text("+cpu")
        self.directory.mkdir()
        self._write(*(("cpu.weight", MOST_WEIGHT) if self._second else ("cpu.shares", MOST_SHARES)))

    def bound(self, cores: float) -> None:
        """Its processes together get so many cores at most."""
        quota = round(cores * PERIOD_MICROSECONDS)
        if self._second:
            self._write("cpu.max", f"{quota} {PERIOD_MICROSECONDS}")
        else:
            self._write("cpu.cfs_period_us", PERIOD_MICROSECONDS)
            self._write("cpu.cfs_quota_us", quota)

    def take(self, processes: Callable[[], Iterable[psutil.Process]]) -> None:
        """All of these, also those that others of them start meanwhile. What they start later comes by itself."""
        while new := {one.pid for one in processes()} - self._members():
            for pid in new:
                with contextlib.suppress(ProcessLookupError):  # it has ended
                    self._write("cgroup.procs", pid)

    def close(self) -> None:
        """Its processes live on, without a bound."""
        outside = self.directory.parent / "cgroup.procs"
        while members := self._members():
            for pid in members:
                with contextlib.suppress(ProcessLookupError):
                    outside.write_text(str(pid))
        self.directory.rmdir()

    def _members(self) -> set[int]:
        return {int(pid) for pid in (self.directory / "cgroup.procs").read_text().split()}

    def _write(self, file: str, value: object) -> None:
        (self.directory / file).write_text(str(value))


@contextlib.contextmanager
def cores(name: str) -> Iterator[Cores]:
    made = Cores(f"llb-{os.getpid()}-{name}")
    try:
        yield made
    finally:
        made.close()
