"""`ray up cluster.yaml`, for real: over ssh, on three machines, where `ray stop` finds nobody else's Ray."""

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tests.cluster.machines import START_SECONDS, Machine, running_network
from tests.cluster.servers import running_postgres
from tests.cluster.waiting import until
from tests.pages import ROOT
from tests.processes import such, title

pytestmark = [pytest.mark.long, pytest.mark.cluster, pytest.mark.timeout(1200)]

NAMES = ("landlord-1", "landlord-2", "landlord-3")
MISSED_SECONDS = 120
"""Until a machine that misses its head has ended what belongs to the cluster."""

REACHED = """
mkdir -m 755 /run/sshd
mkdir -m 700 /home/.ssh
cp "$1/user.pub" /home/.ssh/authorized_keys
touch /home/.bashrc
"""
# As `make .venv` leaves it, which the machine has no network for: the code is the machine's own copy, dependencies are
# those of the Python that runs the tests.
INSTALLED = f"""
mkdir -p /opt/landlord
{shlex.quote(sys.executable)} -m venv --without-pip /opt/landlord/.venv
cd /opt/landlord/.venv
printf '%s\\n' /opt/landlord {shlex.join(path for path in sys.path if path.endswith("site-packages"))} \\
    > "$(echo lib/python*/site-packages)/checkout.pth"
printf '#!%s\\nfrom controlplane.cli.main import app\\napp()\\n' $PWD/bin/python > bin/landlord
printf '#!%s\\nfrom ray.scripts.scripts import main\\nmain()\\n' $PWD/bin/python > bin/ray
chmod +x bin/landlord bin/ray
touch -d '+1 day' installed
"""


@dataclass
class Cluster:
    """`machines`: the head first. Ray's launcher runs on it, in the checkout that the tests are of."""

    machines: list[Machine]
    directory: Path

    def ray(self, verb: str, *words: str) -> str:
        starter = [sys.executable, "-m", "ray.scripts.scripts", verb, self.directory / "cluster.yaml", *words]
        # With `env`, since what the machine inherits has the settings of whoever runs the tests.
        apart = [
            "env",
            *(f"--unset={name}" for name in os.environ if name.startswith("RAY_")),
            "HOME=/home",
            "TERM=dumb",
        ]
        return self.machines[0].run("sh", "-c", f'cd {ROOT} && exec "$@"', "sh", *apart, *starter, timeout=900)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of an answer of the API, by `ray exec` and curl."""
        sent = "" if body is None else f"--json {shlex.quote(json.dumps(body))}"
        ours = "-H @/var/lib/landlord/token.header -H 'Prefer: wait=60'"
        told = self.ray("exec", f"curl -sS -X {method} {ours} {sent} http://127.0.0.1:8000/v1{path}")
        (line,) = [line for line in told.splitlines() if line.startswith("{")]
        return json.JSONDecoder().raw_decode(line)[0]  # what ssh says at its end may be on the same line


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if sshd is None or shutil.which("rsync") is None or os.geteuid() != 0:
        pytest.fail("this test needs root, sshd and rsync: apt-get install openssh-server rsync")
    # Not below /tmp, which each machine has for itself.
    directory = Path(tempfile.mkdtemp(prefix="ll-up-", dir="/var/tmp"))
    with contextlib.ExitStack() as left:
        left.callback(shutil.rmtree, directory, ignore_errors=True)
        network = left.enter_context(running_network(directory))
        server = left.enter_context(running_postgres(network.machine("database")))
        for key in ("host", "user"):
            made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / key)]
            subprocess.run(made, capture_output=True, check=True)
        machines = [network.machine(name, apart=True) for name in NAMES]
        for machine in machines:
            running = listen(machine, sshd, directory)
            left.callback(running.wait)
            left.callback(running.kill)
            machine.run("sh", "-euc", INSTALLED)
        settings = directory / "landlord.yaml"
        settings.write_text(f"database_url: {server.url(host=server.address, sslmode='require')}\nsweep_seconds: 2\n")
        settings.chmod(0o600)
        config = yaml.safe_load((ROOT / "cluster.yaml").read_text())
        head, *others = [machine.address for machine in machines]
        config["provider"] |= {"head_ip": head, "worker_ips": others}
        config["auth"]["ssh_private_key"] = str(directory / "user")
        config["file_mounts"]["~/landlord.yaml"] = str(settings)
        (directory / "cluster.yaml").write_text(yaml.safe_dump(config))
        yield Cluster(machines, directory)


def listen(machine: Machine, sshd: str, directory: Path) -> "subprocess.Popen[bytes]":
    """Returns once the machine takes calls by ssh."""
    machine.run("sh", "-euc", REACHED, "sh", directory)
    (machine.directory / "sshd").write_text(
        f"ListenAddress {machine.address}:22\nHostKey {directory}/host\nPermitRootLogin prohibit-password\n"
        "PasswordAuthentication no\nUsePAM no\nPidFile none\n"
    )
    running = machine.start(sshd, "-D", "-e", "-f", machine.directory / "sshd")
    until(lambda: f"{machine.address}:22" in machine.run("ss", "-ltnH"), "sshd comes up", START_SECONDS)
    return running


def of_the_cluster(process: psutil.Process) -> bool:
    return title(process).startswith("ray::") or process.name() in ("raylet", "gcs_server", "haproxy")


def left(machine: Machine) -> list[psutil.Process]:
    return such(of_the_cluster, machine.processes())


def test_up_post_get_down(cluster: Cluster) -> None:
    head, worker, other = cluster.machines
    cluster.ray("up", "--yes")
    nodes = until(
        lambda: (
            (found := {node["name"]: node for node in cluster.ask("GET", "/nodes")["items"]}).keys() == set(NAMES)
            and all("process" in node["providers"] for node in found.values())
            and found
        ),
        "each machine is a node, and has its platform",
    )
    assert {name: node["address"] for name, node in nodes.items()} == {
        one.name: one.address for one in cluster.machines
    }
    assert all(node["alive"] for node in nodes.values())

    command = ["python3", "-m", "http.server", "{port}", "--bind", "{address}"]
    spec = {
        "compute": {"provider": "process", "config": {"command": command}},
        "health": {"http": {}},
        "placement": {"node": worker.name},
    }
    assert cluster.ask("POST", "/tenants", {"name": "acme", "spec": spec})["status"] == "ready"
    tenant = cluster.ask("GET", "/tenants/acme")
    assert (tenant["status"], tenant["observed"]["node"]) == ("ready", worker.name)
    page = ["curl", "-sSf", "-o", "/dev/null", "--noproxy", "*", tenant["observed"]["endpoints"][0]["url"]]
    other.run(*page)

    # A machine that an operator takes out stays out, until the next `ray up`.
    assert "has left" in other.run("bash", "-lc", "landlord node leave", HOME="/home")
    assert left(other) == []
    cluster.ray("up", "--yes")
    until(
        lambda: {one["name"]: one["alive"] for one in cluster.ask("GET", "/nodes")["items"]}[other.name], "it is back"
    )

    cluster.ray("down", "--yes")
    assert left(head) == []
    until(lambda: not left(worker) and not left(other), "the others end their Ray", MISSED_SECONDS)
    other.run(*page)  # what tenants run goes on
    cluster.ray("up", "--yes")
    assert cluster.ask("DELETE", "/tenants/acme")["status"] == "deleted"
