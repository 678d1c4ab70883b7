"""`python -m tests.cluster --runs 20 [--seed N]`: machines that are cut off, under load. Prints a line a run and a
summary; exit 1 when an invariant did not hold. Ctrl-C ends it early, with a summary."""

import argparse
import asyncio
import contextlib
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.cluster.conftest import PORT, TOKEN
from tests.cluster.cuts import GRACE_SECONDS
from tests.cluster.machines import running_network
from tests.cluster.members import Member, joined
from tests.cluster.run import run
from tests.cluster.servers import running_postgres


def main() -> int:
    arguments = argparse.ArgumentParser(description="Machines that are cut off, under load.")
    arguments.add_argument("--runs", type=int, default=20)
    arguments.add_argument("--seed", type=int, default=1000, help="of the first run; the others follow")
    given = arguments.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    runs = failed = acknowledged = 0
    began = time.monotonic()
    with _members() as members:
        try:
            for seed in range(given.seed, given.seed + given.runs):
                try:
                    report = asyncio.run(run(members, TOKEN, seed))
                except AssertionError as error:
                    failed += 1
                    print(f"FAILED {error}", flush=True)
                else:
                    acknowledged += report.acknowledged
                    print(report, flush=True)
                runs += 1
        except KeyboardInterrupt:
            print("interrupted")
    print(f"{runs} runs, {failed} failed, {acknowledged} requests acknowledged")
    print(f"{(time.monotonic() - began) / max(runs, 1):.1f} s a run")
    return 1 if failed or not acknowledged else 0


@contextlib.contextmanager
def _members() -> Iterator[list[Member]]:
    directory = Path(tempfile.mkdtemp(prefix="ll-m"))
    with contextlib.ExitStack() as left:
        left.callback(shutil.rmtree, directory, ignore_errors=True)
        network = left.enter_context(running_network(directory))
        machines = network.machine("first"), network.machine("second")
        server = left.enter_context(running_postgres(network.machine("database")))
        yield joined(machines, server, PORT, TOKEN, GRACE_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
