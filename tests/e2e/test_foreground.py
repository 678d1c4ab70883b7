"""`landlord up --foreground`, on an installation of its own: the head dies, and nobody runs a command."""

import os
import shutil
import signal
import socket
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


@pytest.fixture
def systemd(installation: Installation) -> Iterator[socket.socket]:
    """Where systemd listens to a unit of `Type=notify`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        address = str(installation.home / "notify")
        listening.bind(address)
        listening.settimeout(240)
        installation.environ["NOTIFY_SOCKET"] = address
        yield listening


def test_a_dead_head_is_started_again_and_a_signal_stops_all(
    installation: Installation, systemd: socket.socket
) -> None:
    with (installation.home / "out").open("w") as out:
        command = [LANDLORD, "up", "--foreground"]
        process = subprocess.Popen(command, env=installation.environ, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    try:
        # Before that the command waits for its first answer: a head that dies then ends it, for systemd to see.
        assert systemd.recv(100) == b"READY=1"
        assert ready(installation)
        for one in installation.processes():
            if one.name() in ("raylet", "gcs_server"):
                os.kill(one.pid, signal.SIGKILL)
        while ready(installation):
            time.sleep(0.2)
        until_ready(installation)
        assert "starting it again" in (installation.home / "out").read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=120) == 0
        assert systemd.recv(100) == b"STOPPING=1"
        assert not ready(installation)
        assert "Landlord is down" in (installation.home / "out").read_text()
    finally:
        process.kill()
