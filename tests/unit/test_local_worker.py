"""What the raylet starts in the interpreter's place: a fork where that is right, else what Ray wanted."""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from controlplane.local.fork_protocol import ForkRequest, confirm, receive
from controlplane.local.worker import forkable, launcher, server_of

WORKER = ["/lib/ray/_private/workers/default_worker.py", "--worker-id=1", "--runtime-env-hash=0"]

RAYS = {"RAY_RAYLET_PID": "10", "RAY_JOB_ID": "01000000", "RAY_ODD": "a=b\n\udcffé"}
"""What Ray says to a launcher, and something that no text may be."""


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (WORKER, True),
        ([*WORKER, "--worker-type=WORKER"], True),
        ([*WORKER, "--worker-type=SPILL_WORKER"], False),
        ([*WORKER[:2], "--runtime-env-hash=71"], False),
        (["/lib/ray/_private/workers/setup_worker.py", *WORKER], False),
        (["-u", "/lib/ray/_private/log_monitor.py"], False),
    ],
)
def test_an_ordinary_worker_is_forked_and_nothing_else(command: list[str], expected: bool) -> None:
    assert forkable(command) is expected


def test_each_raylet_has_a_server_of_its_own_for_all_jobs(tmp_path: Path) -> None:
    of = [
        server_of(str(tmp_path), {"RAY_RAYLET_PID": raylet, "RAY_JOB_ID": job})
        for raylet in ("10", "11")
        for job in ("01000000", "02000000")
    ]
    assert of[0] == of[1] != of[2] == of[3]


def started(script: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [script, *command],
        env={**os.environ, **RAYS},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )


@pytest.fixture
def script(short_dir: Path) -> Path:
    made = short_dir / "worker"
    made.write_text(launcher(sys.executable, short_dir, short_dir / "workers.log"))
    made.chmod(0o700)
    return made


def test_what_is_no_worker_becomes_what_ray_wanted(script: Path) -> None:
    done = started(script, "-c", "import sys; print(sys.argv[1:])", "a b", "c")
    assert (done.returncode, done.stdout.strip()) == (0, "['a b', 'c']")


def test_a_worker_is_ordered_with_its_environment_and_descriptors(script: Path, short_dir: Path) -> None:
    orders: list[ForkRequest] = []

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            order = receive(connection)
            assert order is not None
            orders.append(order)
            os.write(order.descriptors[1], b"from the fork")
            confirm(connection, order)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(server_of(str(short_dir), RAYS))
        listener.listen()
        serving = threading.Thread(target=serve, args=(listener,))
        serving.start()
        done = started(script, *WORKER)
        serving.join(10)

    [order] = orders
    assert (done.returncode, done.stdout) == (0, "from the fork")
    assert order.command == WORKER
    assert order.directory == str(Path.cwd())
    assert {**os.environ, **RAYS}.items() <= order.environ.items()


def test_a_worker_starts_the_slow_way_where_no_server_can(script: Path, tmp_path: Path) -> None:
    worker = tmp_path / "default_worker.py"
    worker.write_text("print('started by itself')")
    environment = {name: value for name, value in os.environ.items() if name != "RAY_RAYLET_PID"}
    done = subprocess.run([script, worker], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "started by itself"
    assert "the slow way" in done.stderr
