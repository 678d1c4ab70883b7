"""Ours are found by the id of their home, and by nothing that a stranger may have."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controlplane.local.head import RayNode
from controlplane.local.paths import Home
from controlplane.local.ports import derive_ports
from controlplane.local.processes import HOME_ID_VARIABLE, end_processes, find_processes
from controlplane.local.programs import FORK_SERVER

Spawn = Callable[..., subprocess.Popen[str]]

STUBBORN = """
import signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
while True: signal.pause()
"""


@pytest.fixture
def home_id() -> str:
    return f"test-{os.getpid()}"


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Spawn]:
    started: list[subprocess.Popen[str]] = []

    def start(
        *command: str, home_id: str | None = None, cwd: Path = tmp_path, program: str | None = None
    ) -> subprocess.Popen[str]:
        environment = {"PATH": os.environ["PATH"]} | ({HOME_ID_VARIABLE: home_id} if home_id else {})
        process = subprocess.Popen(
            command, executable=program, env=environment, cwd=cwd, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def pids(home_id: str, directory: Path) -> set[int]:
    return {process.pid for process in find_processes(home_id, directory)}


def test_the_id_in_the_environment_is_what_counts(spawn: Spawn, tmp_path: Path, home_id: str) -> None:
    ours = spawn("sleep", "60", home_id=home_id)
    spawn("sleep", "60")
    spawn("sleep", "60", home_id="another")
    assert pids(home_id, tmp_path / "ray") == {ours.pid}


def test_a_title_of_rays_counts_only_in_our_directory(spawn: Spawn, tmp_path: Path, home_id: str) -> None:
    ray, elsewhere = tmp_path / "ray", tmp_path / "elsewhere"
    ray.mkdir()
    elsewhere.mkdir()
    sleep = shutil.which("sleep")
    ours = spawn("ray::DashboardAgent", "60", cwd=ray, program=sleep)
    spawn("ray::DashboardAgent", "60", cwd=elsewhere, program=sleep)
    spawn("sleep", "60", cwd=ray)
    assert pids(home_id, ray) == {ours.pid}


def test_we_and_our_ancestors_are_never_found(tmp_path: Path, home_id: str, spawn: Spawn) -> None:
    program = (
        "import sys; from pathlib import Path; from controlplane.local.processes import find_processes;"
        f"print(len(find_processes({home_id!r}, Path('/'))))"
    )
    asking = spawn(sys.executable, "-c", program, home_id=home_id)
    said, _ = asking.communicate(timeout=30)
    assert said.strip() == "0"


def test_the_dead_are_not_found(spawn: Spawn, tmp_path: Path, home_id: str) -> None:
    ours = spawn("sleep", "60", home_id=home_id)
    ours.kill()
    os.waitid(os.P_PID, ours.pid, os.WEXITED | os.WNOWAIT)
    assert pids(home_id, tmp_path) == set()


def test_ending_asks_first_and_then_insists(spawn: Spawn, tmp_path: Path, home_id: str) -> None:
    polite = spawn("sleep", "60", home_id=home_id)
    stubborn = spawn(sys.executable, "-c", STUBBORN, home_id=home_id)
    stranger = spawn("sleep", "60")
    assert stubborn.stdout is not None
    assert stubborn.stdout.readline() == "ready\n"

    assert end_processes(home_id, tmp_path) == 2

    assert polite.wait(5) == -signal.SIGTERM
    assert stubborn.wait(5) == -signal.SIGKILL
    assert stranger.poll() is None


def test_nothing_to_end_is_success(tmp_path: Path, home_id: str) -> None:
    assert end_processes(home_id, tmp_path) == 0


def test_new_code_ends_fork_servers_and_unused_workers_and_nothing_else(spawn: Spawn, short_dir: Path) -> None:
    home = Home(short_dir / "home")
    home.ray.mkdir(parents=True)
    sleep = shutil.which("sleep")
    unused = spawn("ray::IDLE", "60", cwd=home.ray, program=sleep)
    server = spawn(sys.executable, "-c", "import time; time.sleep(60)", FORK_SERVER, home_id=home.id)
    kept = spawn("ray::TenantOwner", "60", cwd=home.ray, program=sleep)
    RayNode(home, derive_ports(18000), "here").renew_workers()
    assert unused.wait(30) == server.wait(30) == -signal.SIGTERM
    assert kept.poll() is None
