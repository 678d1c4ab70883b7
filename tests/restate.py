"""A real Restate server for the suite, as a pytest plugin: from npm, on ports and in a directory of its own."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.npm_packages import install

LOCKED = Path(__file__).with_name("npm")
START_SECONDS = 60


class RestateServer:
    """One server that can be killed and started again on what it had written."""

    def __init__(self, program: Path, directory: Path, **environ: str) -> None:
        self._program = program
        self._environ = environ
        self._directory = directory
        self._ports = _free_ports(3)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def ingress(self) -> str:
        return f"http://127.0.0.1:{self._ports[0]}"

    @property
    def admin(self) -> str:
        return f"http://127.0.0.1:{self._ports[1]}"

    def start(self) -> None:
        """Returns once it answers and can run workflows."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RESTATE_")}
        ingress, admin, node = (f"127.0.0.1:{port}" for port in self._ports)
        environ = {
            **inherited,
            "RESTATE_INGRESS__BIND_ADDRESS": ingress,
            "RESTATE_ADMIN__BIND_ADDRESS": admin,
            "RESTATE_BIND_ADDRESS": node,
            "RESTATE_LISTEN_MODE": "tcp",
            "RESTATE_DISABLE_TELEMETRY": "true",
            "RESTATE_DEFAULT_NUM_PARTITIONS": "2",
            "RESTATE_ROCKSDB_TOTAL_MEMORY_SIZE": "256 MiB",
            "RESTATE_LOG_FILTER": "warn",
            # It leaves directories there when it is killed.
            "TMPDIR": str(self._directory),
            **self._environ,
        }
        with (self._directory / "output").open("ab") as output:
            self._process = subprocess.Popen(
                [self._program, "--node-name", "suite", "--base-dir", self._directory / "data"],
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                pytest.fail(f"restate-server does not come up:\n{self._last_words()}")
            time.sleep(0.1)

    def kill(self) -> None:
        """As by `kill -9`."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            queried = httpx.post(
                f"{self.admin}/query",
                json={"query": "SELECT id FROM sys_invocation LIMIT 1"},
                headers={"Accept": "application/json"},
                timeout=2,
                trust_env=False,
            )
            return queried.is_success and httpx.get(f"{self.ingress}/restate/health", trust_env=False).is_success
        except httpx.HTTPError:
            return False

    def _last_words(self) -> str:
        return "\n".join((self._directory / "output").read_text(errors="replace").splitlines()[-15:])


@pytest.fixture(scope="session")
def restate_program() -> Path:
    """The server's binary, installed once for each version that is locked."""
    return installed_program()


@pytest.fixture(scope="session")
def restate_server(restate_program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestateServer]:
    server = RestateServer(restate_program, tmp_path_factory.mktemp("restate"))
    server.start()
    yield server
    server.kill()


def installed_program() -> Path:
    packages = install(LOCKED, "restate")
    found = sorted(packages.glob("node_modules/@restatedev/restate-server-*/bin/restate-server"))
    if not found:
        pytest.fail("npm has no restate-server for this machine")
    return found[0]


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(listener.getsockname()[1]) for listener in held]
    for listener in held:
        listener.close()
    return ports
