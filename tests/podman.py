"""Podman for the suite: its Docker API on a socket of its own, with storage and networks that nobody else has."""

import contextlib
import os
import resource
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import connect

START_SECONDS = 60


@contextlib.contextmanager
def running_podman(directory: Path) -> Iterator[str]:
    """The address of a Podman in this directory, whose path must be short. At the end everything of it is gone."""
    podman = shutil.which("podman")
    if podman is None:
        pytest.fail("these tests need Podman: apt-get install podman")
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    (directory / "containers.conf").write_text(
        # Podman gives a container more open files than this machine may allow.
        f'[containers]\ndefault_ulimits = ["nofile={files}:{files}", "nproc=4096:4096"]\n'
        '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
    )
    environ = {**os.environ, "CONTAINERS_CONF": str(directory / "containers.conf")}
    command = [podman, "--root", directory / "data", "--runroot", directory / "run"]
    command += ["--network-config-dir", directory / "networks"]
    path = directory / "s"
    with (directory / "output").open("wb") as output:
        service = subprocess.Popen(
            [*command, "system", "service", "--time=0", f"unix://{path}"],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while (client := connect(str(path))) is None:
            if service.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"podman does not come up:\n{(directory / 'output').read_text()}")
            time.sleep(0.1)
        client.close()
        yield f"unix://{path}"
    finally:
        for words in (
            ["rm", "--all", "--force", "--time=0"],
            ["network", "prune", "--force"],
            ["system", "reset", "-f"],
        ):
            subprocess.run([*command, *words], env=environ, capture_output=True, timeout=60, check=False)
        service.terminate()
        service.wait(30)
