"""A Docker Engine on another machine, for the suite: a network namespace with an address of its own, where dockerd asks
for TLS, and Debian's sshd lets in who has the key."""

import contextlib
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from tests.engines import build_web_image, isolated, start_engine

TLS_PORT = 2376
SSH_PORT = 2222
ALIAS = "other-machine"
"""Its name in the configuration of ssh alone."""
START_SECONDS = 60


@dataclass(frozen=True)
class RemoteEngine:
    """`here`: an address of this machine on their common network. `image`: is there, and not here. `certificates`: of a
    client. `program`: a directory with an `ssh` that has this engine's keys."""

    address: str
    here: str
    image: str
    certificates: Path
    program: Path

    @property
    def by_tls(self) -> str:
        return f"tcp://{self.address}:{TLS_PORT}"

    @property
    def by_ssh(self) -> str:
        return f"ssh://{ALIAS}"


@contextlib.contextmanager
def running_remote_engine(directory: Path) -> Iterator[RemoteEngine]:
    """`directory`: has a short path."""
    name, number = f"ll{os.getpid()}", os.getpid() % 250
    here, there = f"10.99.{number}.1", f"10.99.{number}.2"
    with contextlib.ExitStack() as left:
        ip(f"netns add {name}")
        left.callback(ip, f"netns del {name}")
        ip(f"link add {name} type veth peer name eth0 netns {name}")
        ip(f"addr add {here}/30 dev {name}")
        ip(f"link set {name} up")
        for words in (f"addr add {there}/30 dev eth0", "link set eth0 up", "link set lo up"):
            ip(f"-n {name} {words}")
        within = ["nsenter", f"--net=/run/netns/{name}"]
        certify(directory, there)
        path = str(directory / "s")
        options = [
            *isolated(directory),
            *("--host", f"unix://{path}", "--host", f"tcp://{there}:{TLS_PORT}", "--tlsverify"),
            *("--tlscacert", str(directory / "ca.pem")),
            *("--tlscert", str(directory / "server.pem"), "--tlskey", str(directory / "server.key")),
        ]
        engine, client = start_engine(directory, *options, path=path, within=within)
        left.callback(engine.wait)
        left.callback(engine.terminate)
        left.callback(client.close)
        image = build_web_image(client)
        left.callback(_empty, client)
        left.enter_context(_sshd(directory, there, within, f"unix://{path}"))
        yield RemoteEngine(there, here, image, directory / "client", directory / "bin")


def _empty(client: docker.DockerClient) -> None:
    for container in client.containers.list(all=True):
        container.remove(v=True, force=True)


def ip(words: str) -> None:
    program = shutil.which("ip", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if program is None:
        pytest.fail("these tests need the ip program: apt-get install iproute2")
    done = subprocess.run([program, *words.split()], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.fail(f"ip {words}: {done.stderr}")


def certify(directory: Path, address: str) -> None:
    """An authority, the server's certificate for this address, and in `client` what a client's directory holds. In
    `stranger` the authority is another one."""
    client, stranger = directory / "client", directory / "stranger"
    client.mkdir()
    (directory / "names").write_text(f"subjectAltName=IP:{address}\nextendedKeyUsage=serverAuth\n")
    (directory / "use").write_text("extendedKeyUsage=clientAuth\n")
    new = "openssl req {0} -newkey rsa:2048 -nodes -subj /CN={1} -keyout {1}.key -out {1}.{2}"
    sign = "openssl x509 -req -days 2 -in {0}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {0}.pem -extfile {1}"
    for command in (
        new.format("-x509 -days 2", "ca", "pem"),
        new.format("-x509 -days 2", "other", "pem"),
        new.format("", "server", "csr"),
        sign.format("server", "names"),
        new.format("", "own", "csr"),
        sign.format("own", "use"),
    ):
        subprocess.run(command.split(), cwd=directory, capture_output=True, check=True)
    for source, name in (("ca.pem", "ca.pem"), ("own.pem", "cert.pem"), ("own.key", "key.pem")):
        shutil.copy(directory / source, client / name)
    shutil.copytree(client, stranger)
    shutil.copy(directory / "other.pem", stranger / "ca.pem")


@contextlib.contextmanager
def _sshd(directory: Path, address: str, within: list[str], docker_host: str) -> Iterator[None]:
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if sshd is None:
        pytest.fail("these tests need sshd: apt-get install openssh-server")
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    for key in ("host", "user"):
        made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / key)]
        subprocess.run(made, capture_output=True, check=True)
    shutil.copy(directory / "user.pub", directory / "authorized")
    (directory / "sshd").write_text(
        f"ListenAddress {address}:{SSH_PORT}\nHostKey {directory}/host\nAuthorizedKeysFile {directory}/authorized\n"
        "PermitRootLogin prohibit-password\nPasswordAuthentication no\nUsePAM no\nStrictModes no\n"
        f"PidFile none\nSetEnv DOCKER_HOST={docker_host}\n"
    )
    (directory / "config").write_text(
        f"Host {ALIAS}\nHostName {address}\nPort {SSH_PORT}\nUser root\nIdentitiesOnly yes\n"
        f"IdentityFile {directory}/user\nUserKnownHostsFile {directory}/known\nGlobalKnownHostsFile /dev/null\n"
    )
    (directory / "known").write_text(f"[{address}]:{SSH_PORT} {(directory / 'host.pub').read_text()}")
    (directory / "bin").mkdir()
    ssh = directory / "bin" / "ssh"
    # ssh finds its configuration by the account, not by HOME.
    ssh.write_text(f'#!/bin/sh\nexec {shlex.quote(shutil.which("ssh") or "ssh")} -F {directory}/config "$@"\n')
    ssh.chmod(0o755)
    with (directory / "sshd-output").open("wb") as output:
        server = subprocess.Popen([*within, sshd, "-D", "-e", "-f", str(directory / "sshd")], stderr=output)
    try:
        deadline = time.monotonic() + START_SECONDS
        while subprocess.run([ssh, ALIAS, "true"], capture_output=True, check=False).returncode != 0:
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"sshd does not come up:\n{(directory / 'sshd-output').read_text()}")
            time.sleep(0.1)
        yield
    finally:
        server.terminate()
        server.wait(30)
