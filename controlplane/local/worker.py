"""The raylet starts this instead of Python. It hands the start of a worker to the fork server, which has imported
everything that a worker needs. If that fails, or for any other program, it starts it as Ray would have done.

A worker of stock Ray takes about a second of CPU, most of it for imports; a fork of a process that has them takes a
fifth.

Runs as a script of its own (`python -IS worker.py <python> <directory> <log> <what Ray wanted to run> …`) in about 20
ms, so it imports only the standard library and modules that import nothing else. Ray knows its workers by the pid with
which they register, so this process may end at once.
"""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

if __name__ == "__main__":
    # As a script it starts with the standard library alone on its path.
    sys.path.append(str(Path(__file__).parents[2]))

from controlplane.local.fork_protocol import ask, listens
from controlplane.local.programs import FORK_SERVER

WORKER = "default_worker.py"
ORDINARY = "--runtime-env-hash=0"
START_SECONDS = 60.0
POLL_SECONDS = 0.02


def launcher(python: str, directory: Path, log: Path) -> str:
    """A shell script that stands in for the interpreter: Ray wants the name of one executable file. `directory`: for
    the sockets of the fork servers; `log`: for their output."""
    words = " ".join(f"'{word}'" for word in (python, "-IS", __file__, python, str(directory), str(log)))
    return f'#!/bin/sh\nexec {words} "$@"\n'


def forkable(command: list[str]) -> bool:
    """True for an ordinary Python worker. A worker with an environment of its own would need other imports or another
    Python."""
    return Path(command[0]).name == WORKER and not any(
        word.startswith(("--runtime-env-hash=", "--worker-type=")) and word not in (ORDINARY, "--worker-type=WORKER")
        for word in command
    )


def server_of(directory: Path, environ: Mapping[str, str]) -> Path:
    """The socket of the fork server for workers of this raylet and this job. Ray's extension module reads its
    environment once, at import, so another job's workers need another server."""
    return directory / f"fork-{environ['RAY_RAYLET_PID']}-{environ.get('RAY_JOB_ID', '')[:8]}"


def start(python: str, server: Path, log: Path) -> None:
    """Start the fork server unless another launcher did so already. Returns once it listens, or has visibly failed."""
    with Path(f"{server}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if listens(str(server)):
            return
        server.unlink(missing_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(
                [python, "-m", FORK_SERVER, str(server)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        give_up = time.monotonic() + START_SECONDS
        while not listens(str(server)) and process.poll() is None and time.monotonic() < give_up:
            time.sleep(POLL_SECONDS)


def main(arguments: list[str]) -> None:
    python, directory, log, *command = arguments
    if forkable(command):
        try:
            server = server_of(Path(directory), os.environ)
            if not listens(str(server)):
                start(python, server, Path(log))
            if ask(str(server), command):
                return
        except (OSError, KeyError) as error:
            print(f"a worker is started the slow way: {error!r}", file=sys.stderr)
    os.execv(python, [python, *command])


if __name__ == "__main__":
    main(sys.argv[1:])
