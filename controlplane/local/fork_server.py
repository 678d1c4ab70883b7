"""Starts a fork server (`actors.forkserver`), once."""

import fcntl
import os
import subprocess
import time
from pathlib import Path

from controlplane.local.fork_protocol import listens
from controlplane.local.programs import FORK_SERVER

START_SECONDS = 60.0
POLL_SECONDS = 0.02

NO_JOB = "ffffffff"
"""Of a worker that the raylet starts ahead of work. Ray reads a worker's job once, when it is imported, so all forks of
a server are of its job; and a worker of none takes the work of any (`WorkerPool::WorkerFitForLease`)."""


def start(python: str, server: str, log: str) -> None:
    """Start the one that listens on this socket, unless another launcher did so already. Returns once it listens, or
    has visibly failed."""
    with Path(f"{server}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if listens(server):
            return
        Path(server).unlink(missing_ok=True)
        with Path(log).open("ab") as output:
            process = subprocess.Popen(
                [python, "-m", FORK_SERVER, server],
                env={**os.environ, "RAY_JOB_ID": NO_JOB},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        give_up = time.monotonic() + START_SECONDS
        while not listens(server) and process.poll() is None and time.monotonic() < give_up:
            time.sleep(POLL_SECONDS)
