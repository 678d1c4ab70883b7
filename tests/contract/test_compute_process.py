"""The process provider against this machine's kernel."""

import asyncio
import errno
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from controlplane.errors import InvalidConfig, NotAvailableYet, NotCurrent, SettingsError
from controlplane.model import HealthSpec
from controlplane.ports import Resource, ResourceState
from controlplane.probe import HealthProber
from controlplane.settings import load_settings
from providers.compute import process as process_module
from providers.compute import process_shim
from providers.compute.process import ProcessCompute
from providers.compute.process_directory import WORK_OF_USERS, ProcessDirectory
from providers.compute.process_machine import PORTS, hold_port, read_json, write_json
from providers.compute.secrets import Secrets
from providers.conformance.compute import ComputeConformance
from providers.conformance.compute_bench import SECRET, Effect, Gate, LoseAnswer, desire
from providers.conformance.compute_capabilities import LogsConformance, NoExecProbesConformance

OPEN = Gate(True)
OWNER = "test-process"

SERVER = """
import http.server, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"well")
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""
# The interpreter itself: a wrapper on somebody's PATH would add to the environment.
PYTHON = os.path.realpath(sys.executable)
WEB = {"command": [PYTHON, "-I", "-S", "-c", SERVER, "{port}"]}


def shell(script: str, **env: str) -> dict[str, Any]:
    return {"command": ["/bin/sh", "-c", script], "env": env}


@pytest.fixture
def root() -> Iterator[Path]:
    home = Path(tempfile.mkdtemp(prefix="ll-process-"))
    yield home / "processes"
    shutil.rmtree(home)


@pytest_asyncio.fixture
async def provider(root: Path) -> AsyncIterator[ProcessCompute]:
    provider = ProcessCompute(root)
    yield provider
    for resource in await provider.list_owned(OWNER):
        await provider.destroy(resource.id)
    await provider.close()


@pytest_asyncio.fixture
async def prober() -> AsyncIterator[HealthProber]:
    prober = HealthProber()
    yield prober
    await prober.close()


class OnAnotherMachine(ProcessCompute):
    """As it would be on a machine with another id."""

    async def identity(self) -> str:
        with pytest.MonkeyPatch.context() as during:
            during.setattr(process_module, "_machine_id", lambda: "0" * 32)
            return await super().identity()


class TestProcessConforms(ComputeConformance, LogsConformance, NoExecProbesConformance):
    @pytest_asyncio.fixture
    async def provider(self, root: Path) -> AsyncIterator[ProcessCompute]:
        provider = ProcessCompute(root)
        yield provider
        await provider.close()

    @pytest_asyncio.fixture
    async def another(self, root: Path) -> AsyncIterator[ProcessCompute]:
        provider = ProcessCompute(root)
        yield provider
        await provider.close()

    @pytest_asyncio.fixture
    async def elsewhere(self, root: Path) -> AsyncIterator[ProcessCompute]:
        provider = OnAnotherMachine(root.parent / "another")
        yield provider
        await provider.close()

    @pytest.fixture
    def lose_answer(self, monkeypatch: pytest.MonkeyPatch) -> LoseAnswer:
        """It is done, and the disk or the lock says that it took too long."""

        def lose(effect: Effect) -> None:
            owner, call = {
                "create": (ProcessDirectory, "create"),
                "start": (process_module, "_launch"),
                "destroy": (ProcessDirectory, "remove"),
            }[effect]
            real = getattr(owner, call)

            def done_in_vain(*args: Any) -> None:
                monkeypatch.setattr(owner, call, real)
                real(*args)
                raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")

            monkeypatch.setattr(owner, call, done_in_vain)

        return lose

    @pytest.fixture
    def good_config(self) -> Mapping[str, Any]:
        return WEB

    @pytest.fixture
    def changed_config(self) -> Mapping[str, Any]:
        return {**WEB, "env": {"COLOR": "green"}}

    @pytest.fixture
    def refused_config(self) -> Mapping[str, Any]:
        return {"command": ["no-such-program", SECRET], "env": {"TOKEN": SECRET}}

    @pytest.fixture
    def refusal_code(self) -> object:
        return errno.ENOENT

    @pytest.fixture
    def invalid_config(self) -> Mapping[str, Any]:
        return {"command": [], "env": {"TOKEN": 7}, "workdir": "here"}


async def until(provider: ProcessCompute, resource: Resource, met: Callable[[Resource], bool]) -> Resource:
    async with asyncio.timeout(20):
        while True:
            seen = await provider.inspect(resource.id)
            assert seen is not None
            if met(seen):
                return seen
            await asyncio.sleep(0.02)


async def stopped(provider: ProcessCompute, resource: Resource) -> Resource:
    return await until(
        provider, resource, lambda seen: seen.state is ResourceState.STOPPED and "unseen" not in seen.detail
    )


async def written(provider: ProcessCompute, resource: Resource, text: str) -> str:
    """What it has written, once `text` is in it."""
    async with asyncio.timeout(20):
        while True:
            logs = await provider.logs(resource.id, 100)
            if text in logs:
                return logs
            await asyncio.sleep(0.02)


async def healthy(prober: HealthProber, provider: ProcessCompute, resource: Resource) -> None:
    async with asyncio.timeout(20):
        while True:
            seen = await provider.inspect(resource.id)
            assert seen is not None
            if (await prober.probe(seen, HealthSpec.model_validate({"http": {}}))).healthy:
                return
            await asyncio.sleep(0.02)


def main_process(root: Path, resource: Resource) -> psutil.Process:
    run = read_json(str(root / resource.name / "run.json"))
    assert run is not None
    return psutil.Process(run["pid"])


def over(pid: int) -> bool:
    """Gone, or dead and not waited for yet."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def oom_score_adj(process: psutil.Process) -> int:
    return int(Path(f"/proc/{process.pid}/oom_score_adj").read_text())


def files_with(text: str, root: Path) -> list[Path]:
    """Those of ours: not the logs, which are the command's."""
    ours = [path for path in root.rglob("*") if path.is_file() and not path.name.startswith("log")]
    assert ours
    return [path for path in ours if text in path.read_text()]


def names(directory: Path) -> list[str]:
    return sorted(os.listdir(directory))


def keeper(root: Path, resource: Resource) -> psutil.Process:
    parent = main_process(root, resource).parent()
    assert parent is not None
    assert "process_shim" in " ".join(parent.cmdline())
    return parent


async def test_it_serves_and_knows_nothing_of_us(
    provider: ProcessCompute, root: Path, prober: HealthProber, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANDLORD_INTERNAL_HOME_MARK", "here")
    with tempfile.TemporaryFile() as ours:
        os.set_inheritable(ours.fileno(), True)
        resource = await provider.apply(desire(OWNER, {**WEB, "env": {"COLOR": "blue"}}), OPEN)
        await healthy(prober, provider, resource)
        process = main_process(root, resource)
        assert set(process.environ()) == {"PATH", "HOME", "LANG", "COLOR"}
        assert "LANDLORD_INTERNAL_HOME_MARK" not in keeper(root, resource).environ()
        for one in (process, keeper(root, resource)):
            assert not [
                name
                for name in os.listdir(f"/proc/{one.pid}/fd")
                if os.stat(ours.fileno()).st_ino == os.stat(f"/proc/{one.pid}/fd/{name}").st_ino
            ]
    assert os.getsid(process.pid) == process.pid
    assert process.cwd() == str(root / resource.name / "work")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may undo niceness")
async def test_it_does_not_inherit_a_workers_niceness(root: Path) -> None:
    """Ray's workers run at nice 15 and as the kernel's first victims."""
    script = f"""
import asyncio, os
from pathlib import Path
from providers.compute.process import ProcessCompute
from providers.conformance.compute import Gate, desire
os.nice(15)
Path("/proc/self/oom_score_adj").write_text("900")
async def main():
    provider = ProcessCompute(Path({str(root)!r}))
    await provider.apply(desire({OWNER!r}, {{"command": ["/bin/sleep", "60"]}}), Gate(True))
    await provider.close()
asyncio.run(main())
"""
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    provider = ProcessCompute(root)
    (resource,) = await provider.list_owned(OWNER)
    process = main_process(root, resource)
    assert process.nice() == 0
    assert oom_score_adj(process) == 0
    await provider.destroy(resource.id)
    await provider.close()


async def test_it_outlives_its_creators_kill(root: Path) -> None:
    """A creator that is killed right after apply, with its whole process group."""
    script = f"""
import asyncio, os, signal
from pathlib import Path
from providers.compute.process import ProcessCompute
from providers.conformance.compute import Gate, desire
async def main():
    provider = ProcessCompute(Path({str(root)!r}))
    await provider.apply(desire({OWNER!r}, {{"command": ["/bin/sleep", "60"]}}), Gate(True))
    os.killpg(0, signal.SIGKILL)
asyncio.run(main())
"""
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script], start_new_session=True, capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    provider = ProcessCompute(root)
    (resource,) = await provider.list_owned(OWNER)
    assert resource.state is ResourceState.RUNNING
    await provider.destroy(resource.id)
    await provider.close()


async def test_its_keepers_kill_does_not_end_it(provider: ProcessCompute, root: Path, prober: HealthProber) -> None:
    desired = desire(OWNER, WEB)
    resource = await provider.apply(desired, OPEN)
    await healthy(prober, provider, resource)
    process = main_process(root, resource)
    killed = keeper(root, resource)
    killed.kill()
    psutil.wait_procs([killed], timeout=10)
    await healthy(prober, provider, resource)
    assert (await provider.apply(desired, OPEN)).id == resource.id
    assert main_process(root, resource) == process
    process.kill()
    seen = await until(provider, resource, lambda seen: seen.state is ResourceState.STOPPED)
    assert "ended unseen" in seen.detail
    assert (await provider.apply(desired, OPEN)).state is ResourceState.RUNNING
    await healthy(prober, provider, resource)


@pytest.fixture
def stranger() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that is none of ours."""
    with subprocess.Popen(["/bin/sleep", "60"], start_new_session=True) as process:
        yield process
        process.kill()


async def test_a_recycled_pid_is_not_adopted_and_not_signalled(
    provider: ProcessCompute, root: Path, stranger: "subprocess.Popen[bytes]"
) -> None:
    resource = await provider.apply(desire(OWNER, shell("exit 0")), OPEN)
    await stopped(provider, resource)
    path = str(root / resource.name / "run.json")
    run = read_json(path)
    assert run is not None
    write_json(path, {**run, "pid": stranger.pid})
    seen = await provider.inspect(resource.id)
    assert seen is not None
    assert seen.state is ResourceState.STOPPED
    await provider.stop(resource.id)
    await provider.destroy(resource.id)
    assert stranger.poll() is None


async def test_how_it_ended_is_told_without_its_secrets(provider: ProcessCompute) -> None:
    resource = await provider.apply(desire(OWNER, shell("echo cannot use $TOKEN; exit 3", TOKEN=SECRET)), OPEN)
    seen = await stopped(provider, resource)
    assert seen.detail == "the process exited with code 3: cannot use ***"
    resource = await provider.apply(desire(OWNER, shell("kill -KILL $$")), OPEN)
    assert (await stopped(provider, resource)).detail == "the process was ended by SIGKILL"


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"command": ["no-such-program"]}, "the command 'no-such-program' cannot be started: not found"),
        ({"command": ["/no/such/program"]}, "the command '/no/such/program' cannot be started: No such file"),
        ({"command": ["/bin/sh"], "workdir": "/no/such"}, "the command cannot start in /no/such: No such file"),
    ],
)
async def test_what_cannot_be_started_is_named(provider: ProcessCompute, config: Mapping[str, Any], text: str) -> None:
    desired = desire(OWNER, config)
    for _ in range(2):
        with pytest.raises(InvalidConfig, match=text):
            await provider.apply(desired, OPEN)
    seen = await provider.observe(desired.ownership)
    assert seen is not None
    assert seen.detail.startswith(text)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


LISTEN = "import socket, sys, time; s = socket.socket(); s.bind(('', int(sys.argv[1]))); print('mine'); time.sleep(60)"
LOCK = (
    "from fcntl import *; import time; f = open('l', 'w'); flock(f, LOCK_EX | LOCK_NB); print('mine'); time.sleep(60)"
)


@pytest.mark.parametrize("what", ["port", "workdir"])
async def test_what_two_versions_would_fight_over_has_them_run_one_after_the_other(
    provider: ProcessCompute, tmp_path: Path, what: str
) -> None:
    """A port of the command's own choice; a directory that is named. Side by side the second one fails, which is what
    `exclusive` is for."""
    python = [PYTHON, "-I", "-S", "-u", "-c"]
    config = {
        "port": {"command": [*python, LISTEN, str(free_port())]},
        "workdir": {"command": [*python, LOCK, "{port}"], "workdir": str(tmp_path)},
    }[what]
    assert provider.exclusive(config, config)
    older = desire(OWNER, config)
    newer = desire(OWNER, config, tenant_id=older.ownership.tenant_id, generation=2)
    first = await provider.apply(older, OPEN)
    await written(provider, first, "mine")
    second = await provider.apply(newer, OPEN)
    assert (await stopped(provider, second)).detail.startswith("the process exited with code 1")
    await provider.stop(first.id)
    again = await provider.apply(newer, OPEN)
    assert again.id == second.id
    await written(provider, again, "mine")


@pytest.mark.parametrize(
    ("before", "after", "exclusive"),
    [
        ({}, {}, False),
        ({"workdir": "/srv/a"}, {"workdir": "/srv/a/"}, True),
        ({"workdir": "/srv/a"}, {"workdir": "/srv/b"}, False),
        ({"workdir": "/srv/a"}, {}, False),
        ({"command": ["serve", "8080"]}, {"command": ["serve", "8081"]}, True),
        ({"command": ["serve", "8080"]}, {}, False),
        ({}, {"command": ["serve"], "env": {"PORT": "{port}"}}, False),
        ({"of": "another release"}, {}, True),
    ],
)
def test_what_excludes_what(root: Path, before: dict[str, Any], after: dict[str, Any], exclusive: bool) -> None:
    assert ProcessCompute(root).exclusive({**WEB, **before}, {**WEB, **after}) is exclusive


async def test_stop_ends_what_the_command_started_and_kills_what_does_not_listen(
    provider: ProcessCompute, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("providers.compute.process.GRACE_SECONDS", 0.3)
    resource = await provider.apply(desire(OWNER, shell("trap '' TERM; sleep 60 & sleep 60 & echo up; wait")), OPEN)
    await written(provider, resource, "up")
    family = [main_process(root, resource), *main_process(root, resource).children(recursive=True)]
    assert len(family) == 3
    await provider.stop(resource.id)
    assert all(over(process.pid) for process in family)
    assert (await stopped(provider, resource)).detail.startswith("the process was ended by SIGKILL")


async def test_what_the_command_leaves_behind_ends_with_it(provider: ProcessCompute, root: Path) -> None:
    resource = await provider.apply(desire(OWNER, shell("sleep 60 & echo $!; exit 0")), OPEN)
    await stopped(provider, resource)
    left = int(await provider.logs(resource.id, 1))
    async with asyncio.timeout(10):
        while not over(left):  # noqa: ASYNC110, not a child of ours
            await asyncio.sleep(0.05)


async def test_stop_gives_time_to_end_well(provider: ProcessCompute) -> None:
    resource = await provider.apply(
        desire(OWNER, shell("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done")), OPEN
    )
    await written(provider, resource, "up")
    await provider.stop(resource.id)
    assert (await stopped(provider, resource)).detail == "the process exited with code 0: bye"


async def test_the_log_is_bounded(provider: ProcessCompute, root: Path) -> None:
    megabyte = "head -c 1000000 /dev/zero | tr '\\0' x; echo"
    script = f"for i in 1 2 3 4 5; do {megabyte}; sleep 0.3; done; echo end; sleep 60"
    resource = await provider.apply(desire(OWNER, shell(script)), OPEN)
    await written(provider, resource, "end")

    def kept(_: Resource) -> bool:
        """Its keeper measures now and then; while it moves the log there is a third file."""
        return sum(path.stat().st_size for path in (root / resource.name).glob("log*")) < 2.5 * process_shim.LOG_BYTES

    await until(provider, resource, kept)
    assert (await provider.logs(resource.id, 1)).endswith("end\n")


async def test_20_tenants_at_once_have_20_ports(provider: ProcessCompute, root: Path) -> None:
    another = ProcessCompute(root)
    made = await asyncio.gather(
        *(
            one.apply(desire(OWNER, {"command": ["/bin/sleep", "60"]}), OPEN)
            for one in (provider, another)
            for _ in range(10)
        )
    )
    ports = {endpoint.port for resource in made for endpoint in resource.endpoints}
    assert len(ports) == 20
    assert all(port in PORTS for port in ports)
    await another.close()


async def test_a_stopped_tenant_keeps_its_port_unless_a_stranger_takes_it(
    provider: ProcessCompute, prober: HealthProber
) -> None:
    desired = desire(OWNER, WEB)
    resource = await provider.apply(desired, OPEN)
    await provider.stop(resource.id)
    again = await provider.apply(desired, OPEN)
    assert again.endpoints == resource.endpoints
    await provider.stop(resource.id)
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", resource.endpoints[0].port))
        stranger.listen()
        moved = await provider.apply(desired, OPEN)
        assert moved.id == resource.id
        assert moved.endpoints != resource.endpoints
        await healthy(prober, provider, moved)


async def test_a_port_that_another_home_is_about_to_use_is_let_be(
    provider: ProcessCompute, root: Path, prober: HealthProber
) -> None:
    """Its command does not listen yet, so that the port looks free."""
    with pytest.raises(NotCurrent):
        await provider.apply(desired := desire(OWNER, WEB), Gate(True, False))
    state = read_json(str(root / desired.ownership.name / "state.json"))
    assert state is not None
    of_another_home = hold_port(state["port"])
    assert of_another_home is not None
    with of_another_home:
        resource = await provider.apply(desired, OPEN)
        assert resource.endpoints[0].port != state["port"]
        await healthy(prober, provider, resource)
        assert hold_port(resource.endpoints[0].port or 0) is None, "its keeper holds it"
    await provider.stop(resource.id)
    now_free = hold_port(resource.endpoints[0].port or 0)
    assert now_free is not None
    now_free.close()


async def test_half_a_directory_is_healed(provider: ProcessCompute, root: Path) -> None:
    desired = desire(OWNER, WEB)
    path = root / desired.ownership.name
    path.mkdir(parents=True)
    (path / "state.json").write_text('{"id": "half')
    (root / ".new-of-the-killed").mkdir()
    assert await provider.observe(desired.ownership) is None
    assert await provider.list_owned(OWNER) == []
    resource = await provider.apply(desired, OPEN)
    assert resource.state is ResourceState.RUNNING
    await provider.destroy(resource.id)
    assert names(root) == [".lock"]


async def test_a_creator_killed_before_the_start(provider: ProcessCompute, root: Path) -> None:
    """Its directory is whole and nothing runs: the next apply starts it under the same id."""
    desired = desire(OWNER, WEB)
    made = ProcessDirectory(root, None, Secrets(root)).create(
        desired.ownership, ProcessCompute.config_model.model_validate(WEB)
    )
    left = await provider.observe(desired.ownership)
    assert left is not None
    assert (left.id, left.state) == (made, ResourceState.CREATED)
    resource = await provider.apply(desired, OPEN)
    assert (resource.id, resource.state) == (made, ResourceState.RUNNING)


async def test_a_secret_reaches_the_command_and_no_file_of_ours(root: Path) -> None:
    secrets = root.parent / "secrets"
    secrets.mkdir()
    (secrets / "db").write_text(f"{SECRET}\n")
    provider = ProcessCompute(root, secrets=Secrets(secrets))
    config = {
        "command": ["/bin/sh", "-c", 'echo "got $DB"; test -e again || { touch again; exit 3; }; sleep 60'],
        "env": {"DB": {"secret": "file:db"}},
    }
    resource = await provider.apply(desire(OWNER, config), OPEN)
    await written(provider, resource, f"got {SECRET}")
    seen = await stopped(provider, resource)
    assert seen.detail == "the process exited with code 3: got ***"

    await provider.start(resource.id)
    await written(provider, resource, f"got {SECRET}\ngot {SECRET}")
    assert not files_with(SECRET, root)
    assert not [word for word in main_process(root, resource).parent().cmdline() if SECRET in word]  # type: ignore[union-attr]

    await provider.stop(resource.id)
    (secrets / "db").unlink()
    with pytest.raises(NotAvailableYet, match="file:db"):
        await provider.start(resource.id)
    await provider.destroy(resource.id)
    await provider.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
async def test_it_runs_as_the_process_user(root: Path) -> None:
    root.parent.chmod(0o700)
    provider = ProcessCompute(root, user="nobody")
    config = shell("id -u; pwd; touch mine && ls; cat ../state.json || echo denied; sleep 60")
    resource = await provider.apply(desire(OWNER, config), OPEN)
    uid, work, *rest = (await written(provider, resource, "denied")).splitlines()
    assert int(uid) == pwd.getpwnam("nobody").pw_uid
    assert "mine" in rest
    assert main_process(root, resource).environ()["HOME"] == work
    await provider.destroy(resource.id)
    assert Path(work).name not in names(WORK_OF_USERS)
    await provider.close()


def test_a_process_user_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    settings = load_settings({"LANDLORD_HOME": str(tmp_path), "LANDLORD_PROCESS_USER": "nobody-of-that-name"})
    with pytest.raises(SettingsError, match="LANDLORD_PROCESS_USER"):
        ProcessCompute.from_settings(settings)


async def test_a_probe_needs_the_port_to_be_used(provider: ProcessCompute) -> None:
    probed = HealthSpec.model_validate({"http": {}})
    provider.validate(WEB, probed)
    provider.validate({"command": ["/bin/server"], "env": {"PORT": "{port}"}}, probed)
    with pytest.raises(InvalidConfig, match=r"health\.http"):
        provider.validate({"command": ["/bin/server"]}, probed)
