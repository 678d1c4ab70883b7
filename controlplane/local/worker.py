"""The raylet starts this instead of Python. It hands the start of a worker to the fork server, which has imported
everything that a worker needs. If that fails, or for any other program, it starts it as Ray would have done.

A worker of stock Ray takes about a second of CPU, most of it for imports; a fork of a process that has them takes a
fifth.

Runs as a script of its own (`python -IS worker.py <python> <directory> <log> <what Ray wanted to run> …`) in about 12
ms, most of which is the start of Python, so it imports only what Python has loaded then, and modules of ours that do
the same. Ray knows its workers by the pid with which they register, so this process may end at once.
"""

import os
import sys

if __name__ == "__main__":
    # As a script it starts with the standard library alone on its path.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(__file__))))

from controlplane.local.fork_protocol import ask

WORKER = "default_worker.py"
ORDINARY = "--runtime-env-hash=0"


def launcher(python: str, directory: os.PathLike[str], log: os.PathLike[str]) -> str:
    """A shell script that stands in for the interpreter: Ray wants the name of one executable file. `directory`: for
    the sockets of the fork servers; `log`: for their output."""
    words = " ".join(f"'{word}'" for word in (python, "-IS", __file__, python, directory, log))
    return f'#!/bin/sh\nexec {words} "$@"\n'


def forkable(command: list[str]) -> bool:
    """True for an ordinary Python worker. A worker with an environment of its own would need other imports or another
    Python."""
    return command[0].rpartition("/")[2] == WORKER and not any(
        word.startswith(("--runtime-env-hash=", "--worker-type=")) and word not in (ORDINARY, "--worker-type=WORKER")
        for word in command
    )


def server_of(directory: str, environ: dict[str, str]) -> str:
    """The socket of the fork server for workers of this raylet. Raises KeyError if Ray did not start us."""
    return f"{directory}/fork-{environ['RAY_RAYLET_PID']}"


def forked(python: str, server: str, log: str, command: list[str]) -> bool:
    """Whether the fork server, which is started if there is none, has forked the worker."""
    try:
        return ask(server, command)
    except OSError:
        from controlplane.local.fork_server import start  # noqa: PLC0415, its imports take longer than all else

        start(python, server, log)
    return ask(server, command)


def main(arguments: list[str]) -> None:
    python, directory, log, *command = arguments
    if forkable(command):
        try:
            if forked(python, server_of(directory, dict(os.environ)), log, command):
                return
        except (OSError, KeyError) as error:
            print(f"a worker is started the slow way: {error!r}", file=sys.stderr)
    os.execv(python, [python, *command])


if __name__ == "__main__":
    main(sys.argv[1:])
