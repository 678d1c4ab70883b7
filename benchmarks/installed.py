"""A control plane for one benchmark: a home and a port of its own, real everything, gone afterwards."""

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from controlplane.local.paths import Home
from controlplane.local.postgres import EmbeddedPostgres
from tests.e2e.installation import Installation, free_port
from tests.processes import kill, such, titled

READY_WORKERS = 2
"""The default of LANDLORD_WARM_WORKERS."""
POOL_SECONDS = 300.0
DOWN_SECONDS = 900.0


@contextmanager
def home() -> Iterator[Path]:
    """A directory with a short path, for sockets."""
    made = Path(tempfile.mkdtemp(prefix="llb-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextmanager
def installed(home: Path, *, purge: bool = True, **settings: str) -> Iterator[Installation]:
    """It is up, with the default time between sweeps, and its ready workers stand ready. `purge`: False where its
    tenants have no compute. Who interrupts while it is taken down waits until it is."""
    # A test's installation sweeps five times as often.
    installation = Installation(home, free_port(), **{"LANDLORD_SWEEP_SECONDS": "10", **settings})
    try:
        installation.up()
        pooled(installation)
        yield installation
    finally:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            taken_down(installation, purge=purge)
        finally:
            signal.signal(signal.SIGINT, before)


def taken_down(installation: Installation, *, purge: bool) -> None:
    """By the command, and by force if that fails or takes too long: whoever was interrupted while it was killed or came
    up has no API that could delete its tenants."""
    with suppress(subprocess.TimeoutExpired):
        installation.run("down", *(["--purge"] if purge else []), check=False, timeout=DOWN_SECONDS)
    kill([*with_postgres(installation), *such(lambda process: process.cwd().startswith(str(installation.home)))])


def pooled(installation: Installation) -> None:
    """Returns once workers stand ready for tenants."""
    give_up = time.monotonic() + POOL_SECONDS
    while len(titled("ray::IDLE", installation.processes())) < READY_WORKERS:
        assert time.monotonic() < give_up, "no worker stands ready"
        time.sleep(0.2)


def with_postgres(installation: Installation) -> list[psutil.Process]:
    return [*installation.processes(), *installation.postgres_processes()]


def database_url(installation: Installation) -> str:
    """Of its embedded Postgres."""
    home = Home(installation.home)
    return EmbeddedPostgres(home.postgres, home.sockets, home.logs / "postgres.log").url
