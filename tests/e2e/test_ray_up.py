"""`ray up cluster.yaml`, for real: over ssh, on a machine of namespaces, where `ray stop` finds nobody else's Ray."""

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tests.processes import such, title

pytestmark = [pytest.mark.long, pytest.mark.cluster, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
ADDRESS = "10.77.0.1"
START_SECONDS = 60

# What the machine has to itself: network, processes, and each directory that is written to. Root lives in /home: the
# Python that runs the tests may be in the real one.
MACHINE = f"""
ip link set lo up
ip addr add {ADDRESS}/32 dev lo
for place in /tmp /opt /home /run /dev/shm /var/lib/landlord; do mkdir -p $place; mount -t tmpfs tmpfs $place; done
sed 's|^\\(root:[^:]*:0:0:[^:]*\\):[^:]*|\\1:/home|' /etc/passwd > "$1/passwd"
mount --bind "$1/passwd" /etc/passwd
chmod 755 /opt /home /run /var/lib/landlord
mkdir -m 755 /run/sshd
mkdir -m 700 /home/.ssh
cp "$1/user.pub" /home/.ssh/authorized_keys
cp "$1/user" /home/.ssh/id_ed25519
touch /home/.bashrc
exec "$2" -D -e -f "$1/sshd"
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


class Machine:
    """`pid`: of its first process, the sshd. `cluster`: the file for Ray's launcher, which runs on the machine too."""

    def __init__(self, pid: int, cluster: Path) -> None:
        self.pid, self.cluster = pid, cluster

    def run(self, *words: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """A program on the machine, in the checkout that the tests are of."""
        within = ["nsenter", "--target", str(self.pid), "--mount", "--net", "--pid", f"--wdns={ROOT}", "--"]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LANDLORD_", "RAY_"))}
        done = subprocess.run(
            [*within, *words],
            env=kept | {"HOME": "/home", "TERM": "dumb"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, f"{words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def ray(self, verb: str, *words: str) -> str:
        return self.run(sys.executable, "-m", "ray.scripts.scripts", verb, str(self.cluster), *words).stdout

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of an answer of the API, by `ray exec` and curl."""
        sent = "" if body is None else f"--json {shlex.quote(json.dumps(body))}"
        ours = "-H @/var/lib/landlord/token.header -H 'Prefer: wait=60'"
        told = self.ray("exec", f"curl -sS -X {method} {ours} {sent} http://127.0.0.1:8000/v1{path}")
        (line,) = [line for line in told.splitlines() if line.startswith("{")]
        return json.loads(line)

    def processes(self) -> list[psutil.Process]:
        return psutil.Process(self.pid).children(recursive=True)


@pytest.fixture
def machine() -> Iterator[Machine]:
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if sshd is None or shutil.which("rsync") is None or os.geteuid() != 0:
        pytest.fail("this test needs root, sshd and rsync: apt-get install openssh-server rsync")
    # Not below /tmp, which the machine has for itself.
    directory = Path(tempfile.mkdtemp(prefix="ll-up-", dir="/var/tmp"))
    with contextlib.ExitStack() as left:
        left.callback(shutil.rmtree, directory, ignore_errors=True)
        for key in ("host", "user"):
            made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / key)]
            subprocess.run(made, capture_output=True, check=True)
        (directory / "sshd").write_text(
            f"ListenAddress {ADDRESS}:22\nHostKey {directory}/host\nPermitRootLogin prohibit-password\n"
            "PasswordAuthentication no\nUsePAM no\nPidFile none\n"
        )
        cluster = yaml.safe_load((ROOT / "cluster.yaml").read_text())
        cluster["provider"]["head_ip"] = ADDRESS
        (directory / "cluster.yaml").write_text(yaml.safe_dump(cluster))
        apart = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        output = left.enter_context((directory / "output").open("wb"))
        outer = subprocess.Popen([*apart, "sh", "-euc", MACHINE, "sh", directory, sshd], stdout=output, stderr=output)
        left.callback(outer.wait)
        left.callback(outer.kill)
        there = Machine(_first(outer, directory / "output"), directory / "cluster.yaml")
        there.run("sh", "-euc", INSTALLED)
        yield there


def _first(outer: "subprocess.Popen[bytes]", output: Path) -> int:
    """The pid of the machine's sshd, once it listens."""
    deadline = time.monotonic() + START_SECONDS
    while "Server listening" not in output.read_text():
        if outer.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"sshd does not come up:\n{output.read_text()}")
        time.sleep(0.1)
    (first,) = psutil.Process(outer.pid).children()
    return int(first.pid)


def of_the_cluster(process: psutil.Process) -> bool:
    return title(process).startswith("ray::") or process.name() in ("raylet", "gcs_server", "haproxy")


def test_up_post_get_down(machine: Machine) -> None:
    machine.ray("up", "--yes")
    compute = {"provider": "process", "config": {"command": ["python3", "-m", "http.server", "{port}"]}}
    made = machine.ask("POST", "/tenants", {"name": "acme", "spec": {"compute": compute, "health": {"http": {}}}})
    assert made["status"] == "ready"
    assert machine.ask("GET", "/tenants/acme")["status"] == "ready"
    assert machine.ask("DELETE", "/tenants/acme")["status"] == "deleted"

    assert such(of_the_cluster, machine.processes())
    machine.ray("down", "--yes")
    assert such(of_the_cluster, machine.processes()) == []
