"""An image registry for the suite, as a pytest plugin: Debian's `docker-registry`, on loopback, where the Docker Engine
pulls and pushes without TLS."""

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
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


class Registry:
    """Runs between `start` and `stop`; keeps its images and its address meanwhile."""

    def __init__(self, directory: Path, port: int) -> None:
        self.address = f"127.0.0.1:{port}"
        self._config = directory / "config.yml"
        self._config.write_text(CONFIG.format(directory=directory, port=port))
        self._output = directory / "output"
        self._process: subprocess.Popen[bytes] | None = None

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
                    if client.get(f"http://{self.address}/v2/").is_success:
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
        answer = engine.images.push(f"{self.address}/{repository}", tag)
        assert '"error"' not in answer, answer
        engine.images.remove(reference)
        return reference


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    registry = Registry(tmp_path_factory.mktemp("registry"), port)
    registry.start()
    yield registry
    registry.stop()
