"""Other processes, as tests see them: each may end at any moment, which is no error."""

import signal
from collections.abc import Callable, Iterable
from contextlib import suppress

import psutil


def such(test: Callable[[psutil.Process], bool], among: Iterable[psutil.Process] | None = None) -> list[psutil.Process]:
    """Those that it is true of, by default of the whole machine's. What has ended meanwhile is none of them."""
    found = []
    for process in psutil.process_iter() if among is None else among:
        with suppress(psutil.Error, ProcessLookupError):
            if test(process):
                found.append(process)
    return found


def named(names: str | tuple[str, ...], among: Iterable[psutil.Process]) -> list[psutil.Process]:
    """By how their name begins."""
    return such(lambda process: process.name().startswith(names), among)


def title(process: psutil.Process) -> str:
    """The first word of its command line: Ray's say there what they are. Empty: it is dead."""
    return "".join(process.cmdline()[:1])


def titled(titles: str | tuple[str, ...], among: Iterable[psutil.Process]) -> list[psutil.Process]:
    """By how their title begins."""
    return such(lambda process: title(process).startswith(titles), among)


def processes_with(color: str) -> list[int]:
    """The pids of a tenant's processes, by the COLOR in its environment."""
    return [process.pid for process in such(lambda process: process.environ().get("COLOR") == color)]


def send(sent: signal.Signals, processes: Iterable[psutil.Process]) -> int:
    """How many there still were to receive it: many die with the first ones."""
    count = 0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(sent)
            count += 1
    return count


def kill(processes: Iterable[psutil.Process]) -> int:
    return send(signal.SIGKILL, processes)
