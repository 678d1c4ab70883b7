"""Machines for the suite: each a network namespace with an address, a name and an identity of its own, on one network.

Their files and their process ids are this machine's: a home of each is a directory of its own, and a process that a
machine runs can be looked at from here. The network is a bridge in a namespace of its own, so that no rules of this
machine's firewall hold for it, and this machine has an address there too. Everything is gone with the process that made
it, also if that is killed.
"""

import contextlib
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.processes import kill, such

START_SECONDS = 60
HELD = ["setpriv", "--pdeathsig", "KILL"]
"""Ends with the process that started it."""
SWITCH = """
ip link add name net type bridge
ip link set net up
"""
MACHINE = """
hostname "$1"
for file in machine-id hosts resolv.conf; do mount --bind "$2/$file" /etc/$file; done
mkdir -p /run/landlord
mount -t tmpfs -o mode=700 run /run/landlord
ip link set lo up
"""
APART_OPTIONS = ["--pid", "--fork", "--kill-child", "--mount-proc"]
APART = """
for place in /tmp /opt /home /run /dev/shm /var/lib/landlord; do
    mkdir -p $place
    mount -t tmpfs -o mode=755 own $place
done
chmod 1777 /tmp
sed 's|^\\(root:[^:]*:0:0:[^:]*\\):[^:]*|\\1:/home|' /etc/passwd > "$2/passwd"
mount --bind "$2/passwd" /etc/passwd
"""
"""Root lives in /home there: the Python that runs the tests may be in the real one."""


def _program(name: str, package: str) -> str:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        pytest.fail(f"these tests need {name}: apt-get install {package}")
    return found


@dataclass
class _Namespace:
    """A process that does nothing and holds namespaces of its own. `options`: those of unshare."""

    holder: "subprocess.Popen[bytes]"
    apart: bool = False
    """Processes there have ids of their own, and see no others."""

    @classmethod
    def hold(cls, options: list[str], script: str, *arguments: str) -> "_Namespace":
        command = [*HELD, _program("unshare", "util-linux"), "--propagation", "private", *options]
        waiting = f"set -eu\n{script}\necho\nexec sleep infinity"
        holder = subprocess.Popen(
            [*command, "sh", "-c", waiting, "sh", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
        )
        assert holder.stdout is not None
        with holder.stdout as output:
            if (said := output.readline()) != b"\n":
                holder.kill()
                holder.wait()
                pytest.fail(f"no namespace: {said.decode()}")
        return cls(holder, "--pid" in options)

    @property
    def pid(self) -> int:
        """Of the process that does nothing, as this machine counts."""
        if not self.apart:
            return self.holder.pid
        (first,) = psutil.Process(self.holder.pid).children()
        return int(first.pid)

    def enter(self) -> list[str]:
        """A prefix of a command that runs there."""
        apart = ["--pid"] if self.apart else []
        return ["nsenter", "--target", str(self.pid), "--net", "--mount", "--uts", *apart, "--"]

    def ip(self, words: str) -> None:
        ip(words, self.enter())

    def end(self) -> None:
        self.holder.kill()
        self.holder.wait()


@dataclass
class Machine:
    """`directory`: its own files, with a short path."""

    name: str
    address: str
    directory: Path
    _namespace: _Namespace
    _network: "Network"
    _environ: Mapping[str, str] = field(default_factory=dict)

    def enter(self) -> list[str]:
        """A prefix of a command that runs there."""
        return self._namespace.enter()

    def run(self, *words: Any, check: bool = True, timeout: float = 180, **environ: str) -> str:
        """Run a command there to its end; return what it says. Its words are in the failure."""
        done = subprocess.run(
            [*self.enter(), *map(str, words)],
            env={**_inherited(), **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{self.name}: {' '.join(map(str, words))}: exit {done.returncode}\n{done.stdout}")
        return done.stdout

    def start(self, *words: Any, said: Path = Path(os.devnull), **environ: str) -> "subprocess.Popen[bytes]":
        """Run a command there until it ends, or the process that asked for it does. What it says is in that file."""
        with said.open("ab") as output:
            return subprocess.Popen(
                [*HELD, *self.enter(), *map(str, words)],
                env={**_inherited(), **environ},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def cut(self) -> None:
        """Nothing comes in or goes out any more."""
        self._network.link(self, "down")

    def mend(self) -> None:
        self._network.link(self, "up")

    @contextlib.contextmanager
    def dropping(self, *rules: str) -> Iterator[None]:
        """Packets that match one of these rules of iptables are dropped there within the block, as if they were lost:
        nobody is told."""
        program = [_program("iptables", "iptables"), "--wait"]
        with contextlib.ExitStack() as left:
            for rule in rules:
                self.run(*program, "--append", *rule.split(), "--jump", "DROP")
                left.callback(self.run, *program, "--delete", *rule.split(), "--jump", "DROP")
            yield

    def processes(self) -> list[psutil.Process]:
        """All that run there, whatever they are."""
        none = (self._namespace.holder.pid, self._namespace.pid)
        own = _network_of(none[0])
        return such(lambda one: _network_of(one.pid) == own and one.pid not in none)

    def die(self) -> None:
        """Kill everything that runs there at once."""
        give_up = time.monotonic() + START_SECONDS
        while left := self.processes():
            kill(left)
            assert time.monotonic() < give_up, f"these do not die: {left}"
            time.sleep(0.05)


class Network:
    """10.88.N.0/24, with `machine` after `machine`; this machine is 254."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._left = contextlib.ExitStack()
        self._switch = _Namespace.hold(["--net"], SWITCH)
        self._left.callback(self._switch.end)
        self._number = os.getpid() % 250
        self.machines: list[Machine] = []
        end = f"llm{os.getpid()}"
        ip(f"link add {end} type veth peer name here netns {self._switch.holder.pid}")
        self._left.callback(ip, f"link del {end}")
        ip(f"addr add {self._address(254)}/24 dev {end}")
        ip(f"link set {end} up")
        self._plug("here")

    def machine(self, name: str, *, apart: bool = False) -> Machine:
        """`apart`: it also has process ids, and each directory that is written to, for itself. Only `directory` is
        shared, which then must not be below one of those."""
        directory = self._directory / name
        directory.mkdir()
        address = self._address(len(self.machines) + 1)
        (directory / "machine-id").write_text(f"{secrets.token_hex(16)}\n")
        (directory / "hosts").write_text(f"127.0.0.1 localhost\n{address} {name}\n")
        (directory / "resolv.conf").write_text("")  # there is nobody to ask, and waiting for an answer takes long
        options = ["--net", "--mount", "--uts", *(APART_OPTIONS if apart else [])]
        script = f"{APART}{MACHINE}" if apart else MACHINE
        namespace = _Namespace.hold(options, script, name, str(directory))
        machine = Machine(name, address, directory, namespace, self)
        self.machines.append(machine)
        self._left.callback(namespace.end)
        self._left.callback(machine.die)
        self._switch.ip(f"link add {name} type veth peer name eth0 netns {namespace.holder.pid}")
        self._plug(name)
        gateway = f"route add default via {self._address(254)}"
        for words in (f"addr add {address}/24 dev eth0", "link set eth0 up", gateway):
            namespace.ip(words)
        return machine

    def link(self, machine: Machine, state: str) -> None:
        self._switch.ip(f"link set {machine.name} {state}")

    def close(self) -> None:
        self._left.close()

    def _address(self, last: int) -> str:
        return f"10.88.{self._number}.{last}"

    def _plug(self, end: str) -> None:
        self._switch.ip(f"link set {end} master net")
        self._switch.ip(f"link set {end} up")


def ip(words: str, within: list[str] | None = None) -> None:
    command = [*(within or []), _program("ip", "iproute2"), *words.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.fail(f"ip {words}: {done.stderr}")


def _network_of(pid: int) -> str | None:
    """Names its network namespace. None: it has ended, or is none of ours."""
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return None


def _inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("LANDLORD_")}


@contextlib.contextmanager
def running_network(directory: Path) -> Iterator[Network]:
    """`directory`: has a short path."""
    network = Network(directory)
    try:
        yield network
    finally:
        network.close()
