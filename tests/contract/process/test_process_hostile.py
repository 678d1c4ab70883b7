"""A tenant that means harm gets nowhere: not to what is ours, not to another tenant, not past its own end."""

import asyncio
import json
import os
import socket
import stat
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from controlplane.local.paths import Home
from controlplane.local.postgres import EmbeddedPostgres
from controlplane.ports import Resource, ResourceState
from providers.compute.process.files import read_json
from providers.compute.process.machine import everybody, processes_of
from providers.compute.process.provider import ProcessCompute
from providers.compute.process.uids import AREA
from providers.conformance.compute_bench import SECRET, desire
from providers.kit.secrets import Secrets
from tests.contract.process.bench import HOSTILE, OPEN, OWNER, PYTHON, UIDS, main_process, written

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="without root there is no isolation, which is said elsewhere")


@pytest.fixture
def home(root: Path) -> Iterator[Home]:
    """A home as `up` leaves it, with a real Postgres; its directory is one that existed, and that others may enter."""
    home = Home(root.parent)
    home.root.chmod(0o755)
    home.ensure()
    for name in ("token", "ray-token"):
        (home.root / name).write_text(SECRET)
        (home.root / name).chmod(0o600)
    (home.root / "secrets").mkdir(mode=0o700)
    (home.root / "secrets" / "shared").mkdir()
    (home.root / "secrets" / "shared" / "db").write_text(SECRET)
    # As Ray leaves it: open to everybody, behind a directory that is not.
    for path in (home.ray_sessions, home.ray_sessions / "session_1", home.ray_sessions / "session_1" / "sockets"):
        path.mkdir()
        path.chmod(0o777)
    postgres = EmbeddedPostgres(home.postgres, home.sockets, home.logs / "postgres.log")
    postgres.start()
    yield home
    postgres.stop()
    home.clear_runtime()


@pytest.fixture
def sockets(home: Home) -> Iterator[list[str]]:
    """Listening: one as Ray has it, one as Docker has it."""
    ray, docker = home.ray_sessions / "session_1" / "sockets" / "raylet", home.root / "docker.sock"
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as other:
        for listener, path, mode in ((one, ray, 0o777), (other, docker, 0o660)):
            listener.bind(str(path))
            listener.listen()
            path.chmod(mode)
        yield [str(ray), str(docker), str(home.sockets / ".s.PGSQL.5432")]


@pytest.fixture
def ours() -> Iterator[int]:
    """The pid of a process of ours, with a secret in its environment."""
    with subprocess.Popen(["/bin/sleep", "120"], env={"LANDLORD_SECRET_X": SECRET}) as process:
        yield process.pid
        process.kill()


@pytest_asyncio.fixture(params=["cgroup", "uid"])
async def guarded(root: Path, request: pytest.FixtureRequest) -> AsyncIterator[ProcessCompute]:
    """With control groups where this machine has them, and without."""
    groups = None if request.param == "cgroup" else ""
    provider = ProcessCompute(root, uids=UIDS, cgroups=groups, secrets=Secrets(root.parent / "secrets"))
    yield provider
    for resource in await provider.list_owned(OWNER):
        await provider.destroy(resource.id)
    await provider.close()


def state_of(root: Path, resource: Resource) -> dict[str, Any]:
    state = read_json(str(root / resource.name / "state.json"))
    assert state is not None
    return state


async def test_it_reaches_nothing_of_ours_and_nothing_of_another_tenant(
    guarded: ProcessCompute, root: Path, home: Home, sockets: list[str], ours: int
) -> None:
    config = {"command": ["/bin/sleep", "120"], "env": {"DB": {"secret": "file:db"}}}
    victim = await guarded.apply(desire(OWNER, config), OPEN)
    process = main_process(root, victim)
    postgres = EmbeddedPostgres(home.postgres, home.sockets, home.logs / "postgres.log").pid
    work = state_of(root, victim)["work"]
    targets = {
        "files": [str(home.root / name) for name in ("token", "ray-token", "secrets/shared/db", "logs/postgres.log")]
        + [str(root / victim.name / name) for name in ("state.json", "run.json", "log", "lock")],
        "directories": [
            *map(str, (home.root, home.ray, home.ray_sessions, home.postgres, home.sockets, home.runtime, root)),
            str(root / victim.name),
            work,
            str(Path(work).parent),
            "/run/landlord/ports",
        ],
        "sockets": sockets,
        "pids": [ours, postgres, os.getpid(), process.pid, process.ppid()],
        "ports": [],
    }
    config = {"command": [PYTHON, "-I", "-S", "-u", "-c", HOSTILE], "env": {"TARGETS": json.dumps(targets)}}
    attacker = await guarded.apply(desire(OWNER, config), OPEN)
    logs = await written(guarded, attacker, '"done"', lines=1000)
    tries = [json.loads(line) for line in logs.splitlines() if line.startswith("{")]
    assert len(tries) > 100
    got = [(one["what"], one["target"]) for one in tries if one["got"]]
    # The home's own directory may be listed here, since its mode is not ours to change; what lies in it may not.
    assert got == [("list", str(home.root)), ("enter", str(home.root))]
    assert SECRET not in logs
    assert process.is_running()
    assert process.status() != psutil.STATUS_STOPPED
    assert psutil.Process(ours).is_running()


KEY = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall(250, 1, None, 0, 0, 0)
mine = libc.syscall(248, b"user", b"landlord-test", b"hush", 4, -3)
"""
SEEK = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print("found" if libc.syscall(250, 10, -3, b"user", b"landlord-test", 0) != -1 else "nothing", flush=True)
"""


async def test_keys_of_our_session_are_not_its_own(guarded: ProcessCompute) -> None:
    """Whatever started us may have put tickets there, as a login does."""
    exec(KEY, joined := {})
    assert joined["mine"] != -1
    resource = await guarded.apply(desire(OWNER, {"command": [PYTHON, "-I", "-S", "-c", SEEK]}), OPEN)
    assert await written(guarded, resource, "\n") == "nothing\n"


ESCAPE = """
import ctypes, os, signal, sys, threading, time
def away():
    os.setsid()
    if os.fork():
        os._exit(0)
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)                     # hides its owner in /proc
    threading.Thread(target=lambda: time.sleep(120)).start()
    # In one piece: several write at once.
    os.write(1, b"away %d" % os.getpid() + bytes([10]))
    ctypes.CDLL(None).syscall(60, 0)                           # its first thread ends: it looks like a zombie
for _ in range(3):
    if os.fork() == 0:
        away()
time.sleep(0.5 if sys.argv[1] == "ends" else 120)
"""


@pytest.mark.parametrize("command", ["ends", "stays"])
async def test_a_session_of_its_own_is_no_way_out(guarded: ProcessCompute, root: Path, command: str) -> None:
    config = {"command": [PYTHON, "-I", "-S", "-u", "-c", ESCAPE, command]}
    resource = await guarded.apply(desire(OWNER, config), OPEN)
    await awayed(guarded, resource, 3)
    uid = state_of(root, resource)["uid"]
    if command == "ends":
        await gone(uid)
    else:
        assert len(processes_of(uid)) == 4
    await guarded.destroy(resource.id)
    assert not processes_of(uid)
    assert not (AREA / str(uid)).exists()


async def awayed(provider: ProcessCompute, resource: Resource, count: int) -> None:
    log = ""
    try:
        async with asyncio.timeout(60):
            while (log := await provider.logs(resource.id, 100)).count("away ") < count:  # noqa: ASYNC110, its log is a file
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"not {count} have left; its log: {log!r}")


async def gone(uid: int) -> None:
    async with asyncio.timeout(20):
        while processes_of(uid):  # noqa: ASYNC110, none of them is ours
            await asyncio.sleep(0.02)


BOMB = """
import os, resource, time
# A test that is killed leaves nobody who would end it. Each fork has a fresh account of processor time, so the clock
# ends them all; the kernel ends what forgets the clock.
resource.setrlimit(resource.RLIMIT_CPU, (100, 100))
end = time.monotonic() + 120
print("lit", flush=True)
while time.monotonic() < end:
    try:
        if os.fork() == 0:
            os.setsid()
    except OSError:
        pass
"""


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside its next version"])
async def test_a_fork_bomb_is_bounded_and_ends(guarded: ProcessCompute, root: Path, beside: bool) -> None:
    config = {"command": [PYTHON, "-I", "-S", "-u", "-c", BOMB], "resources": {"pids": 60}}
    wanted = desire(OWNER, config)
    next_one = None
    if beside:
        quiet = {"command": ["/bin/sleep", "120"]}
        newer = desire(OWNER, quiet, tenant_id=wanted.origin.tenant_id, generation=2)
        next_one = await guarded.apply(newer, OPEN)
    resource = await guarded.apply(wanted, OPEN)
    await written(guarded, resource, "lit")
    uid = state_of(root, resource)["uid"]
    most = 0
    async with asyncio.timeout(60):
        while most < 50:
            most = max(most, len(processes_of(uid)))
            await asyncio.sleep(0.01)
    for _ in range(20):
        most = max(most, len(processes_of(uid)))
        await asyncio.sleep(0.01)
    assert most <= 61
    await guarded.destroy(resource.id)
    if next_one is not None:
        survivor = main_process(root, next_one)
        assert processes_of(uid) == {survivor.pid}
        assert survivor.status() != psutil.STATUS_STOPPED
        seen = await guarded.inspect(next_one.id)
        assert seen is not None
        assert seen.state is ResourceState.RUNNING
    else:
        assert not processes_of(uid)


DEEP = """
import os, time
for _ in range(1100):
    os.mkdir("d")
    os.chdir("d")
os.chdir(os.environ["HOME"])
os.symlink("/etc", "away")
for path in ("d", "."):
    os.chmod(path, 0)
print("deep")
time.sleep(120)
"""


async def test_as_deep_and_as_closed_as_it_likes_its_directory_goes(guarded: ProcessCompute, root: Path) -> None:
    config = {"command": [PYTHON, "-I", "-S", "-u", "-c", DEEP]}
    resource = await guarded.apply(desire(OWNER, config), OPEN)
    await written(guarded, resource, "deep")
    work = Path(state_of(root, resource)["work"])
    await guarded.destroy(resource.id)
    assert not work.parent.exists()
    assert stat.S_ISDIR(os.stat("/etc").st_mode)


async def test_what_a_keeper_left_when_it_was_killed_ends_too(guarded: ProcessCompute, root: Path) -> None:
    config = {"command": [PYTHON, "-I", "-S", "-u", "-c", ESCAPE, "stays"]}
    resource = await guarded.apply(desire(OWNER, config), OPEN)
    await awayed(guarded, resource, 3)
    main = main_process(root, resource)
    main.parent().kill()  # type: ignore[union-attr]
    main.kill()
    with suppress(psutil.TimeoutExpired):
        main.wait(2)
    uid = state_of(root, resource)["uid"]
    assert len(processes_of(uid, everybody())) == 3
    await guarded.destroy(resource.id)
    assert not processes_of(uid)
