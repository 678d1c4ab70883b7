"""What a machine of the suite runs beside Landlord, where a test asks for it: a Postgres, a Docker Engine, a Redis."""

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.chaos.load import spec_of
from tests.cluster.machines import HELD, START_SECONDS, Machine
from tests.engines import build_web_image, isolated, start_engine
from tests.postgres import DebianServer, place
from tests.remote_engine import TLS_PORT, certify

OWN_SOCKET = "/run/landlord/docker.sock"
"""On each machine the same path, and the socket of its own engine."""
REDIS_PORT = 6379
REDIS_PASSWORD = "one:of@its/own"
REDIS_PASSWORD_IN_URL = "one%3Aof%40its%2Fown"


@contextlib.contextmanager
def running_postgres(machine: Machine) -> Iterator[DebianServer]:
    """On that machine, with a new database; nothing of it is left."""
    server = DebianServer(place(), 5432, machine.address, machine.enter())
    try:
        server.make()
        yield server
    finally:
        with contextlib.suppress(pytest.fail.Exception):
            server.stop()
        shutil.rmtree(server.directory, ignore_errors=True)


@dataclass(frozen=True)
class MachineEngine:
    """dockerd of one machine, with data, an identity and a network of its own. The machine itself reaches it at
    `OWN_SOCKET`, others by TLS at its address. `client`: from here; `image`: serves COLOR, and is there."""

    machine: Machine
    client: docker.DockerClient
    image: str
    certificates: Path

    @property
    def by_tls(self) -> dict[str, str]:
        """Settings of a control plane that uses it from another machine."""
        return {
            "DOCKER_HOST": f"tcp://{self.machine.address}:{TLS_PORT}",
            "DOCKER_TLS_VERIFY": "1",
            "DOCKER_CERT_PATH": str(self.certificates),
            "LANDLORD_DOCKER_PUBLISH": self.machine.address,
        }

    def spec(self, color: str) -> dict[str, Any]:
        """Of a tenant there that serves this, at the engine's address."""
        found = spec_of("docker", color, self.image)
        found["compute"]["config"]["ports"][0]["host_ip"] = self.machine.address
        return found

    def containers(self) -> list[dict[str, str]]:
        """The labels of all that exist."""
        # Not through the SDK's models, which look up each by itself, and miss one that goes meanwhile.
        return [dict(one["Labels"]) for one in self.client.api.containers(all=True)]


@contextlib.contextmanager
def running_engine(machine: Machine) -> Iterator[MachineEngine]:
    directory = machine.directory / "d"
    directory.mkdir()
    certify(directory, machine.address)
    own = str(directory / "s")
    options = [
        *isolated(directory),
        *("--host", f"unix://{own}", "--host", f"unix://{OWN_SOCKET}"),
        *("--host", f"tcp://{machine.address}:{TLS_PORT}", "--tlsverify", "--tlscacert", str(directory / "ca.pem")),
        *("--tlscert", str(directory / "server.pem"), "--tlskey", str(directory / "server.key")),
    ]
    engine, client = start_engine(directory, *options, path=own, within=machine.enter())
    with contextlib.ExitStack() as left:
        left.callback(engine.wait)
        left.callback(engine.terminate)
        left.callback(client.close)
        image = build_web_image(client)
        left.callback(_empty, client)
        yield MachineEngine(machine, client, image, directory / "client")


def _empty(client: docker.DockerClient) -> None:
    with contextlib.suppress(docker.errors.DockerException, OSError):
        for container in client.containers.list(all=True, ignore_removed=True):
            container.remove(v=True, force=True)


class Redis:
    """Debian's Redis on one machine, with a password; it keeps everything in memory, as long as it runs."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.url = f"redis://:{REDIS_PASSWORD_IN_URL}@{machine.address}:{REDIS_PORT}"

    def keys(self) -> list[str]:
        return self._ask("keys", "*").split()

    def _ask(self, *words: str) -> str:
        return self._machine.run("redis-cli", "-h", self._machine.address, *words, REDISCLI_AUTH=REDIS_PASSWORD)

    @contextlib.contextmanager
    def running(self) -> Iterator["Redis"]:
        program = shutil.which("redis-server")
        if program is None:
            pytest.fail("these tests need redis-server: apt-get install redis-server")
        directory = self._machine.directory / "r"
        directory.mkdir()
        options = {
            "bind": self._machine.address,
            "port": str(REDIS_PORT),
            "requirepass": REDIS_PASSWORD,
            "save": "",
            "dir": str(directory),
        }
        words = [word for name, text in options.items() for word in (f"--{name}", text)]
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(
                [*HELD, *self._machine.enter(), program, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            give_up = time.monotonic() + START_SECONDS
            while "PONG" not in self._machine.run(
                "redis-cli", "-h", self._machine.address, "ping", check=False, REDISCLI_AUTH=REDIS_PASSWORD
            ):
                if process.poll() is not None or time.monotonic() > give_up:
                    pytest.fail(f"redis-server does not come up:\n{(directory / 'log').read_text()}")
                time.sleep(0.1)
            yield self
        finally:
            process.kill()
            process.wait()
            shutil.rmtree(directory, ignore_errors=True)
