"""An image registry for the suite, as a pytest plugin: Debian's `docker-registry`, on loopback, where the Docker Engine
pulls and pushes without TLS."""

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import docker
import httpx
import pytest

START_SECONDS = 30
CONFIG = """
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {directory}/images}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""
ASKS = """
auth: {{htpasswd: {{realm: tests, path: {directory}/accounts}}}}
"""
USER = "tenant"
PASSWORDS: Mapping[str, str] = {
    "first-password": "$2b$04$4wDknNQqMWNF24TciMALs.gd5IqaqA/0FE46nXljdlNFa/HVmvhau",
    "second-password": "$2b$04$7OxleyjfJPi0.ZXi/DeaLuZUGxxjP0A8ES1IPKuUQ.5F4TfLoVDjO",
}
"""With their bcrypt hashes, the only ones that docker-registry takes."""


class Registry:
    """Runs between `start` and `stop`; keeps its images and its address meanwhile. With a `password`, one of PASSWORDS,
    it asks for the login of USER."""

    def __init__(self, directory: Path, port: int, password: str | None = None) -> None:
        self.address = f"127.0.0.1:{port}"
        self._config = directory / "config.yml"
        self._config.write_text((CONFIG + (ASKS if password else "")).format(directory=directory, port=port))
        self._accounts = directory / "accounts"
        self._login: dict[str, str] | None = None
        if password is not None:
            self._take(password)
        self._output = directory / "output"
        self._process: subprocess.Popen[bytes] | None = None

    def ask_for(self, password: str) -> None:
        """From now on, this password and no other."""
        self.stop()
        self._take(password)
        self.start()

    def _take(self, password: str) -> None:
        self._accounts.write_text(f"{USER}:{PASSWORDS[password]}\n")
        self._login = {"username": USER, "password": password}

    def start(self) -> None:
        program = shutil.which("docker-registry")
        if program is None:
            pytest.fail("these tests need an image registry: apt-get install docker-registry")
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                [program, "serve", str(self._config)], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + START_SECONDS
        with httpx.Client(trust_env=False) as client:
            while time.monotonic() < deadline and self._process.poll() is None:
                with contextlib.suppress(httpx.TransportError):
                    if client.get(f"http://{self.address}/v2/").status_code in (200, 401):
                        return
                time.sleep(0.05)
        self.stop()
        pytest.fail(f"docker-registry does not come up:\n{self._output.read_text(errors='replace')[-2000:]}")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def push(self, engine: docker.DockerClient, image: str, name: str) -> str:
        """Have the engine push `image` under that name; it keeps `image` only. How it is pulled from here."""
        reference = f"{self.address}/{name}"
        repository, _, tag = name.partition(":")
        engine.images.get(image).tag(f"{self.address}/{repository}", tag)
        answer = engine.images.push(f"{self.address}/{repository}", tag, auth_config=self._login)
        assert '"error"' not in answer, answer
        engine.images.remove(reference)
        return reference


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    yield from _running(tmp_path_factory.mktemp("registry"), None)


@pytest.fixture
def private_registry(tmp_path: Path) -> Iterator[Registry]:
    """One that asks for a login, at first with `first-password`."""
    (tmp_path / "private").mkdir()
    yield from _running(tmp_path / "private", "first-password")


def _running(directory: Path, password: str | None) -> Iterator[Registry]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    registry = Registry(directory, port, password)
    registry.start()
    yield registry
    registry.stop()
