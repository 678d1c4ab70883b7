"""Processor time and memory of processes, by kind."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from benchmarks.kinds import kind_of


class Spent:
    """CPU seconds of `processes()` since this was made, by kind.

    `look` often: what a process spends after the last look at it is lost when it ends, and one that begins and ends
    between two looks is never seen. One that changes its kind (a ready worker becomes an actor) counts as what it
    became.
    """

    def __init__(self, processes: Callable[[], Iterable[psutil.Process]]) -> None:
        self._processes = processes
        self._before: dict[tuple[int, float], float] = {}
        self._now: dict[tuple[int, float], tuple[str, float]] = {}
        self.look()
        self._before = {key: seconds for key, (_, seconds) in self._now.items()}

    def look(self) -> None:
        for process in self._processes():
            try:
                key = (process.pid, process.create_time())
                self._now[key] = (kind_of(process), sum(process.cpu_times()[:2]))
            except (psutil.Error, ProcessLookupError):
                continue

    def by_kind(self) -> dict[str, float]:
        """The most first."""
        found: dict[str, float] = defaultdict(float)
        for key, (kind, seconds) in self._now.items():
            found[kind] += seconds - self._before.get(key, 0.0)
        return dict(sorted(found.items(), key=lambda one: -one[1]))

    def total(self) -> float:
        return sum(self.by_kind().values())


def of_machine() -> float:
    """CPU seconds of all processes since the machine started, also of those that have ended. What a host takes from
    this machine is none of it."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.steal - times.guest - times.guest_nice)


def memory(processes: Iterable[psutil.Process]) -> dict[str, float]:
    """MB by kind, proportional: a page that several processes share is shared out among them."""
    found: dict[str, float] = defaultdict(float)
    for process in processes:
        try:
            found[kind_of(process)] += process.memory_full_info().pss / 2**20
        except psutil.Error:
            continue
    return dict(found)


def own_memory(processes: Iterable[psutil.Process]) -> dict[str, float]:
    """The part of `memory` that is no page of a file, as Linux counts it (`Pss_Anon`). Another installation on the
    machine shares pages of files with these processes, and none of these; so this changes only if they do."""
    found: dict[str, float] = defaultdict(float)
    for process in processes:
        try:
            rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
            found[kind_of(process)] += int(re.findall(r"^Pss_Anon:\s+(\d+) kB$", rollup, re.MULTILINE)[0]) / 1024
        except (psutil.Error, ProcessLookupError, FileNotFoundError):
            continue
    return dict(found)
