"""`landlord up --foreground`, on an installation of its own: the head dies, and nobody runs a command."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.installation import LANDLORD, Installation, free_port

pytestmark = [pytest.mark.long, pytest.mark.cluster, pytest.mark.timeout(600)]


@pytest.fixture
def installation() -> Iterator[Installation]:
    home = Path(tempfile.mkdtemp(prefix="ll-fore-"))
    installation = Installation(home, free_port())
    installation.failpoints.mkdir()
    yield installation
    installation.down()
    shutil.rmtree(home)


def ready(installation: Installation) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{installation.port}/readyz", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def until_ready(installation: Installation) -> None:
    deadline = time.monotonic() + 240
    while not ready(installation):
        assert time.monotonic() < deadline, (installation.home / "out").read_text()
        time.sleep(0.5)


def test_a_dead_head_is_started_again_and_a_signal_stops_all(installation: Installation) -> None:
    with (installation.home / "out").open("w") as out:
        command = [LANDLORD, "up", "--foreground"]
        process = subprocess.Popen(command, env=installation.environ, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    try:
        until_ready(installation)
        for one in installation.processes():
            if one.name() in ("raylet", "gcs_server"):
                os.kill(one.pid, signal.SIGKILL)
        while ready(installation):
            time.sleep(0.2)
        until_ready(installation)
        assert "starting it again" in (installation.home / "out").read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=120) == 0
        assert not ready(installation)
        assert "Landlord is down" in (installation.home / "out").read_text()
    finally:
        process.kill()
