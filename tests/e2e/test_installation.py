"""`landlord up` and `down` on this machine, for real: what they start, what they leave, and what they survive.

The tests of this module share one installation and run in the order in which they stand.
"""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest

from controlplane.local.paths import Home
from controlplane.local.postgres import EmbeddedPostgres
from controlplane.local.processes import find_processes
from controlplane.local.programs import FORK_SERVER
from controlplane.local.state import RunState
from landlord_client import Client
from tests.processes import kill, named, such, titled

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

COMMAND = Path(sys.executable).with_name("landlord")


@dataclass
class Machine:
    """One home and port, driven through the command as a person would."""

    home: Home
    port: int
    settings: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """With pipes for its output: it would not return while anything that it started held them."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LANDLORD_", "RAY_"))}
        ours = {"LANDLORD_HOME": str(self.home.root), "LANDLORD_PORT": str(self.port)}
        return subprocess.run(
            [COMMAND, *arguments],
            env=kept | ours | {"LANDLORD_COMPUTE_PROVIDERS": "process"} | self.settings | settings,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def up(self, **settings: str) -> subprocess.CompletedProcess[str]:
        done = self.run("up", **settings)
        assert done.returncode == 0, done.stderr
        assert httpx.get(f"{self.url}/readyz").status_code == 200
        return done

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def state(self) -> RunState:
        state = RunState.read(self.home.state)
        assert state is not None
        return state

    @property
    def postgres(self) -> EmbeddedPostgres:
        return EmbeddedPostgres(self.home.postgres, self.home.sockets, self.home.logs / "postgres.log")

    def processes(self) -> list[psutil.Process]:
        return find_processes(self.home.id, self.home.ray)

    def named(self, *names: str) -> list[psutil.Process]:
        return named(names, self.processes())

    def client(self) -> Client:
        return Client(self.url, self.home.token.read_text().strip())


def unused_port() -> int:
    """Below the kernel's own range, so that nothing takes it meanwhile."""
    for port in range(18100, 19000):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise AssertionError("no free port")


def make_machine(port: int) -> Iterator[Machine]:
    root = Path(tempfile.mkdtemp(prefix="landlord-"))
    root.chmod(0o755)
    machine = Machine(Home(root), port)
    yield machine
    if machine.home.state.exists():
        machine.run("up")
        machine.run("down", "--purge")
    machine.run("down")
    shutil.rmtree(machine.home.runtime, ignore_errors=True)
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    yield from make_machine(unused_port())


@pytest.fixture
def demo(machine: Machine) -> Machine:
    """Up, with the demo tenant, also if the tests before it were not chosen."""
    if not machine.home.state.exists():
        machine.up()
        done = machine.run("demo")
        assert done.returncode == 0, done.stderr
    return machine


def test_up_starts_everything_and_says_where(machine: Machine) -> None:
    done = machine.up()
    assert f"{machine.url}/v1" in done.stdout
    assert f"127.0.0.1:{machine.state.ports.dashboard}" in done.stdout
    assert str(machine.home.token) in done.stdout
    token = machine.home.token.read_text().strip()
    assert token not in done.stdout + done.stderr
    with machine.client() as client:
        assert client.list_tenants().items == []


def test_what_is_made_is_private_and_what_was_there_keeps_its_mode(machine: Machine) -> None:
    def mode(path: Path) -> int:
        return stat.S_IMODE(path.stat().st_mode)

    home = machine.home
    assert mode(home.root) == 0o755
    assert {mode(path) for path in (home.token, home.ray_token, home.state)} == {0o600}
    assert {mode(path) for path in (home.logs, home.ray, home.runtime, home.postgres)} == {0o700}
    (admin,) = home.runtime.glob("*/a.sock")
    assert mode(admin) == 0o600


def test_nothing_without_authentication_listens_beyond_loopback(machine: Machine) -> None:
    processes = machine.processes()
    pids, replicas = ({process.pid for process in found} for found in (processes, named("ray::ServeRepli", processes)))
    listening = [c for c in psutil.net_connections("inet") if c.pid in pids and c.status == psutil.CONN_LISTEN]
    assert len(listening) > 10
    for connection in listening:
        if connection.laddr.ip in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
            continue
        # Serve's port between deployments, which Ray binds to all addresses, behind the cluster's token.
        assert connection.pid in replicas, connection
        assert connection.laddr.port not in vars(machine.state.ports).values()


def test_rays_dashboard_asks_for_a_token(machine: Machine) -> None:
    dashboard = f"http://127.0.0.1:{machine.state.ports.dashboard}"
    assert httpx.get(f"{dashboard}/api/version").status_code == 401
    token = machine.home.ray_token.read_text()
    assert httpx.get(f"{dashboard}/api/version", headers={"Authorization": f"Bearer {token}"}).status_code == 200


def test_up_again_is_quick_and_changes_nothing(machine: Machine) -> None:
    before = {process.pid for process in machine.named("raylet", "gcs_server", "ray::ServeRepli", "haproxy")}
    done = machine.up()
    assert "already running" in done.stdout
    assert before <= {process.pid for process in machine.processes()}


def test_status_names_every_part(machine: Machine) -> None:
    done = machine.run("status")
    assert done.returncode == 0
    parts = [line.split()[0] for line in done.stdout.splitlines()[1:]]
    assert parts[:5] == ["api", "ray", "dashboard", "ray", "postgres"]
    assert set(parts[5:]) <= {"node"}  # once the supervisor has seen it
    assert "down" not in done.stdout


def test_the_demo_answers_and_is_safe_to_run_twice(machine: Machine) -> None:
    for _ in range(2):
        done = machine.run("demo")
        assert done.returncode == 0, done.stderr
        assert "Hello from the tenant demo" in done.stdout


@pytest.mark.parametrize(
    "victims",
    [
        pytest.param(("raylet",), id="raylet", marks=pytest.mark.long),
        pytest.param(("gcs_server",), id="gcs", marks=pytest.mark.long),
        pytest.param(("python",), id="dashboard", marks=pytest.mark.long),
        pytest.param(("haproxy",), id="haproxy"),
        pytest.param(("ray::ServeContr", "ray::HAProxyMan"), id="serve", marks=pytest.mark.long),
        pytest.param(("",), id="everything"),
    ],
)
def test_up_after_kill_9_of(demo: Machine, victims: tuple[str, ...]) -> None:
    killed = demo.named(*victims)
    postgres = demo.postgres.pid if victims == ("",) else None
    assert killed
    kill(killed)
    if postgres is not None:
        os.kill(postgres, signal.SIGKILL)

    demo.up()

    with demo.client() as client:
        assert client.get_tenant("demo").status == "ready"


def test_workers_are_forks_and_a_killed_fork_server_is_started_again(machine: Machine) -> None:
    def servers() -> list[psutil.Process]:
        return such(lambda process: FORK_SERVER in process.cmdline(), machine.processes())

    # Those that stand ready are forks of a server that is gone.
    kill([*servers(), *titled("ray::IDLE", machine.processes())])
    command = "spec.compute.config.command=[sleep, infinity]"
    done = machine.run(
        "tenant", "create", "forked", "--set", "spec.compute.provider=process", "--set", command, "--wait"
    )
    assert done.returncode == 0, done.stderr
    workers = [child for server in servers() for child in server.children()]
    assert titled("ray::Tenant", workers)
    # The raylet ends its workers by process group.
    assert not such(lambda process: os.getpgid(process.pid) != process.pid, workers)
    assert machine.run("tenant", "delete", "forked", "--wait").returncode == 0


@pytest.mark.long
def test_two_at_once_do_not_meet(machine: Machine) -> None:
    kill(machine.named("raylet"))
    with ThreadPoolExecutor(2) as pool:
        assert [done.returncode for done in pool.map(lambda _: machine.run("up"), range(2))] == [0, 0]
    assert len(machine.named("raylet")) == 1


def test_another_home_on_the_same_machine_is_left_alone(machine: Machine) -> None:
    before = {process.pid for process in machine.named("raylet", "gcs_server", "haproxy")}
    for other in make_machine(unused_port()):
        other.up()
        assert not set(vars(other.state.ports).values()) & set(vars(machine.state.ports).values())
        with other.client() as client:
            assert client.list_tenants().items == []
        assert other.run("down").returncode == 0
        assert other.processes() == []
        other.home.state.unlink(missing_ok=True)
    assert before <= {process.pid for process in machine.processes()}
    assert machine.run("status").returncode == 0


def test_changed_settings_take_effect(machine: Machine) -> None:
    machine.up(LANDLORD_SWEEP_SECONDS="7")
    (supervisor,) = machine.named("ray::Supervisor")
    assert supervisor.environ()["LANDLORD_SWEEP_SECONDS"] == "7.0"


def test_down_leaves_tenants_and_nothing_else(machine: Machine) -> None:
    with machine.client() as client:
        endpoint = client.get_tenant("demo").observed.endpoints[0].url

    assert machine.run("down").returncode == 0

    assert machine.processes() == []
    assert not machine.postgres.running
    assert not machine.home.runtime.exists()
    assert machine.run("status").returncode == 3
    assert machine.run("tenant", "list").returncode == 3
    assert "Hello" in httpx.get(endpoint).text
    assert machine.run("down").returncode == 0


def test_a_port_that_is_taken_is_one_line(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", machine.port)):
        done = machine.run("up")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"error: LANDLORD_PORT: {machine.port} is in use")


def test_purge_takes_the_tenants_too(machine: Machine) -> None:
    machine.up()
    with machine.client() as client:
        endpoint = client.get_tenant("demo").observed.endpoints[0].url
    done = machine.run("down", "--purge")
    assert done.returncode == 0, done.stderr
    with pytest.raises(httpx.ConnectError):
        httpx.get(endpoint)
