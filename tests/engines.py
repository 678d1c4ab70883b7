"""Real engines for the suite, as a pytest plugin: a Docker Engine, and images that are built here, not pulled."""

import contextlib
import io
import json
import shutil
import signal
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest
import requests
from docker.errors import APIError, DockerException

OWNER_PREFIX = "test-"
"""Owner labels of tests begin so: what still bears one at the end is removed."""
WEB_IMAGE = "landlord-test-web:1"
HEALTHCHECK_IMAGE = "landlord-test-healthcheck:1"
SOCKET = "/var/run/docker.sock"
ENGINE_KEY = Path("/etc/docker/key.json")
START_SECONDS = 60
STOP_SECONDS = 60

ENTRY = b"""#!/bin/sh
mkdir -p /www
echo "$COLOR" > /www/index.html
exec httpd -f -p "${PORT:-8080}" -h /www
"""
# busybox httpd as PID 1 ignores SIGTERM: without STOPSIGNAL each stop takes the whole grace.
DOCKERFILE = """FROM scratch
COPY busybox /bin/busybox
COPY entry /entry
RUN ["/bin/busybox", "--install", "/bin"]
STOPSIGNAL SIGKILL
EXPOSE 8080
CMD ["/entry"]
"""


@dataclass
class _Started:
    """The engine that this process started."""

    directory: Path
    process: "subprocess.Popen[bytes]"

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Engine:
    """A Docker Engine of one test's own, with an identity, a state and a socket of its own, and no network. It runs
    between `start` and `stop`, and keeps what it has. `options`: more of dockerd's."""

    def __init__(self, directory: Path, *options: str) -> None:
        self._directory = directory
        self._options = options
        self._path = str(directory / "s")
        self._running: _Started | None = None
        self.address = f"unix://{self._path}"

    def start(self) -> None:
        options = ["--host", self.address, *_isolated(self._directory), *self._options]
        process, client = start_engine(self._directory, *options, path=self._path, within=["unshare", "--net"])
        client.close()
        self._running = _Started(self._directory, process)

    def stop(self) -> None:
        """May be called again."""
        if self._running is not None:
            self._running.stop()
            self._running = None

    def load(self, images: bytes) -> None:
        """`images`: what `docker save` gives."""
        with contextlib.closing(docker.DockerClient(self.address, version="auto", timeout=60)) as client:
            client.images.load(images)


_ours: list[_Started] = []


@contextlib.contextmanager
def running_docker(directory: Path) -> Iterator[docker.DockerClient]:
    """A client of the Docker Engine that runs here; where none answers, one is started, and stopped at the end.

    `directory`: for the pid file and the output of one that is started."""
    client = connect()
    if client is None:
        process, client = start_engine(directory)
        _ours.append(_Started(directory, process))
    try:
        yield client
        _remove_leftovers(client)
    finally:
        client.close()
        while _ours:
            _ours.pop().stop()


def bounce_docker(away: float) -> bool:
    """Stop the engine that this process started, and start it again after so many seconds. False: it is not ours."""
    if not _ours:
        return False
    engine = _ours[-1]
    engine.stop()
    time.sleep(away)
    engine.process, client = start_engine(engine.directory)
    client.close()
    return True


def signal_docker(sent: signal.Signals) -> bool:
    """Stop or continue the process of the engine that this process started. False: it is not ours."""
    if not _ours:
        return False
    _ours[-1].process.send_signal(sent)
    return True


def build_web_image(client: docker.DockerClient) -> str:
    """Serves the value of COLOR on the port PORT, or 8080."""
    return _build(client, WEB_IMAGE, DOCKERFILE)


def build_image_of_that_name(client: docker.DockerClient, name: str, port: int) -> str:
    """One for a spec that names an image of a registry, which a test does not reach."""
    return _build(client, name, f"{DOCKERFILE}ENV PORT {port}\n")


@pytest.fixture(scope="session")
def docker_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[docker.DockerClient]:
    with running_docker(tmp_path_factory.mktemp("dockerd")) as client:
        yield client


@pytest.fixture(scope="session")
def another_docker_engine(docker_engine: docker.DockerClient, short_dir: Path) -> Iterator[str]:
    """The address of one more Docker Engine, with an identity, a state and a socket of its own, and no network."""
    directory = short_dir / "d"
    directory.mkdir()
    # In a network namespace of its own: an engine that is told to have no bridge removes the one that is there.
    engine = Engine(directory)
    engine.start()
    yield engine.address
    engine.stop()


@pytest.fixture(scope="session")
def web_image(docker_engine: docker.DockerClient) -> str:
    return build_web_image(docker_engine)


@pytest.fixture(scope="session")
def healthcheck_image(docker_engine: docker.DockerClient) -> str:
    """The same with a HEALTHCHECK: healthy once the container has a file /well."""
    check = 'HEALTHCHECK --interval=1s --timeout=1s --retries=1 CMD ["/bin/test", "-f", "/well"]\n'
    return _build(docker_engine, HEALTHCHECK_IMAGE, DOCKERFILE + check)


def connect(path: str = SOCKET) -> docker.DockerClient | None:
    """Nothing where no engine answers on that socket."""
    with socket.socket(socket.AF_UNIX) as knocking:  # the SDK would leave its own one open
        try:
            knocking.connect(path)
        except OSError:
            return None
    try:
        return docker.DockerClient(f"unix://{path}", version="auto", timeout=30)
    except (DockerException, requests.RequestException):
        return None


def start_engine(
    directory: Path, *options: str, path: str = SOCKET, within: Sequence[str] = ()
) -> tuple["subprocess.Popen[bytes]", docker.DockerClient]:
    """`within`: a command that runs another one."""
    dockerd = shutil.which("dockerd")
    if dockerd is None:
        pytest.fail("these tests need the Docker Engine: apt-get install docker.io")
    output = directory / "output"
    with output.open("wb") as file:
        # A pid file of its own: the default one, left by a killed engine, may name a stranger by now.
        engine = subprocess.Popen(
            [*within, dockerd, "--pidfile", str(directory / "pid"), *options],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and engine.poll() is None:
        client = connect(path)
        if client is not None:
            return engine, client
        time.sleep(0.1)
    engine.kill()
    engine.wait()
    last = "\n".join(output.read_text(errors="replace").splitlines()[-10:])
    pytest.fail(f"dockerd does not come up:\n{last}")


def _isolated(directory: Path) -> list[str]:
    """Options of an engine that shares nothing with the machine's own, and has no network."""
    return [*isolated(directory), "--bridge", "none", "--iptables=false"]


def isolated(directory: Path) -> list[str]:
    """Options of an engine that shares no state with the machine's own."""
    options = ["--data-root", str(directory / "data"), "--exec-root", str(directory / "run")]
    if ENGINE_KEY.exists():
        # Engines as old as Debian 12's take their identity from this file, newer ones from their data.
        config = directory / "daemon.json"
        config.write_text(json.dumps({"deprecated-key-path": str(directory / "key.json")}))
        options += ["--config-file", str(config)]
    return options


def _build(client: docker.DockerClient, tag: str, dockerfile: str) -> str:
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.fail("these tests need a static busybox: apt-get install busybox-static")
    files = {"busybox": Path(busybox).read_bytes(), "entry": ENTRY, "Dockerfile": dockerfile.encode()}
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o755
            archive.addfile(entry, io.BytesIO(content))
    context.seek(0)
    client.images.build(fileobj=context, custom_context=True, tag=tag, rm=True)
    return tag


def _remove_leftovers(client: docker.DockerClient) -> None:
    """Of tests that failed halfway."""
    api, owned = client.api, {"label": "landlord.owner"}
    with contextlib.suppress(APIError):
        for container in filter(_of_tests, api.containers(all=True, filters=owned)):
            api.remove_container(container["Id"], v=True, force=True)
        for network in filter(_of_tests, api.networks(filters=owned)):
            api.remove_network(network["Id"])
        for volume in filter(_of_tests, api.volumes(filters=owned)["Volumes"] or ()):
            api.remove_volume(volume["Name"])


def _of_tests(thing: Mapping[str, Any]) -> bool:
    return str(thing["Labels"]["landlord.owner"]).startswith(OWNER_PREFIX)
