"""Processor time of a whole machine by kind of process, also of processes that live for some milliseconds only."""

import os
import sys
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Self

import psutil

from benchmarks.ended import Ended, Endings
from benchmarks.kinds import SHORT_LIVED, kind_of
from benchmarks.spent import of_machine

OTHERS = "others' processes"
UNNAMED = "unnamed"
UNSETTLED = frozenset({"workers that stand ready", "fork servers", "other"})
"""A process of one of these kinds may become one of another: a fork has the name of its parent at first."""


@dataclass(slots=True)
class _Known:
    kind: str
    settled: bool


class Accounted:
    """Enter it as a context manager; then `by_kind` has the CPU seconds of that time.

    What lives is read at the begin and at the end; what ends meanwhile is told by the kernel (`Endings`), if it tells
    us. `look` once a second costs a list of pids: it learns what a new process is, of which the kernel has only a name.
    A process that nobody looked at is what its name says, or of the kind of its parent.
    """

    def __init__(self, ours: Callable[[psutil.Process], bool]) -> None:
        self._ours = ours
        self._known: dict[int, _Known] = {}
        self._before: dict[int, float] = {}
        self._found: dict[str, float] = {}
        self._ended: dict[int, Ended] = {}
        self.machine = 0.0
        """What the kernel counted on the machine, but for what its host took."""

    def __enter__(self) -> Self:
        with ExitStack() as entered:
            try:
                self._ended = entered.enter_context(Endings(os.cpu_count() or 1)).found
            except OSError as error:
                print(f"the kernel does not tell of short-lived processes: {error}", file=sys.stderr)
            self._before, self.machine = _all_seconds(), of_machine()
            self.look()
            self._leave = entered.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._leave.close()
        living, self.machine = _all_seconds(), of_machine() - self.machine
        self.look()
        found: dict[str, float] = defaultdict(float)
        for pid, seconds in living.items():
            known = self._known.get(pid)
            found[known.kind if known else OTHERS] += seconds - self._before.get(pid, 0.0)
        for pid, ended in self._ended.items():
            if pid not in living:
                found[self._kind_of_ended(pid, ended)] += max(0.0, ended.seconds - self._before.get(pid, 0.0))
        found[UNNAMED] = max(0.0, self.machine - sum(found.values()))
        self._found = dict(found)

    def look(self) -> None:
        """Learn what the new processes are."""
        for pid in psutil.pids():
            known = self._known.get(pid)
            if known is not None and known.settled:
                continue
            try:
                kind, settled = self._kind(psutil.Process(pid))
            except (psutil.Error, ProcessLookupError):
                continue
            # What is new may still be on its way to what it becomes, so it is asked once more.
            self._known[pid] = _Known(kind, settled=settled and known is not None)

    def by_kind(self) -> dict[str, float]:
        """The most first."""
        return dict(sorted(self._found.items(), key=lambda one: -one[1]))

    @property
    def ours(self) -> float:
        return sum(seconds for kind, seconds in self._found.items() if kind not in (OTHERS, UNNAMED))

    def _kind(self, process: psutil.Process) -> tuple[str, bool]:
        """Its kind, and whether that stays."""
        if not process.cmdline():
            return "kernel", True
        if not self._ours(process):
            return OTHERS, True
        kind = kind_of(process)
        return kind, kind not in UNSETTLED

    def _kind_of_ended(self, pid: int, ended: Ended) -> str:
        """By its name at its end, if that says it; else as it was known, or as its parent."""
        known = self._known.get(pid)
        if known is not None and known.kind == OTHERS:
            return OTHERS
        for pattern, kind in SHORT_LIVED.items():
            if pattern.match(ended.command):
                return kind
        if known is not None:
            return known.kind
        parent = self._known.get(ended.parent)
        return parent.kind if parent is not None else OTHERS


def _all_seconds() -> dict[int, float]:
    """CPU seconds of each process that lives, by pid."""
    found = {}
    for pid in psutil.pids():
        with suppress(psutil.Error, ProcessLookupError):
            found[pid] = float(sum(psutil.Process(pid).cpu_times()[:2]))
    return found
