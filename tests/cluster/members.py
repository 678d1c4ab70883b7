"""An installation on one of the machines: the head of a cluster, or a node of it."""

import ssl
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.cluster.machines import Machine
from tests.postgres import DebianServer

LANDLORD = str(Path(sys.executable).with_name("landlord"))
UP_SECONDS = 600


class Member:
    def __init__(self, machine: Machine, port: int, **settings: str) -> None:
        self.machine = machine
        self.home = machine.directory / "h"
        self.port = port
        self.settings = {
            "LANDLORD_HOME": str(self.home),
            "LANDLORD_PORT": str(port),
            "LANDLORD_NODE_ADDRESS": machine.address,
            "LANDLORD_SWEEP_SECONDS": "2",
            **settings,
        }

    def run(self, *words: str, check: bool = True, **settings: str) -> str:
        """`landlord …` on that machine; what it says."""
        return self.machine.run(LANDLORD, *words, check=check, timeout=UP_SECONDS, **{**self.settings, **settings})

    def start(self, *words: str, said: Path) -> "subprocess.Popen[bytes]":
        """The same, without waiting for its end; what it says is in that file."""
        return self.machine.start(LANDLORD, *words, said=said, **self.settings)

    def http(self, authority: Path, token: str) -> httpx.Client:
        """From this machine, at the address there."""
        return httpx.Client(
            base_url=f"https://{self.machine.address}:{self.port}/v1",
            headers={"Authorization": f"Bearer {token}"},
            verify=ssl.create_default_context(cafile=str(authority)),
            timeout=30,
            trust_env=False,
        )

    def listening(self) -> list[tuple[str, str]]:
        """Addresses with ports on which something listens there, and what that is."""
        lines = self.machine.run("ss", "-ltnpH").splitlines()
        rows: list[Any] = [line.split() for line in lines]
        return [(row[3], row[5].split('"')[1] if len(row) > 5 else "") for row in rows]

    def listens(self, program: str) -> set[str]:
        return {address for address, name in self.listening() if name == program}


def joined(
    machines: Sequence[Machine], server: DebianServer, port: int, token: str, grace_seconds: int
) -> list[Member]:
    """A cluster with `process`, the first machine the head; what a lost one held is made anew after that time."""
    settings = {
        "LANDLORD_DATABASE_URL": server.url(host=server.address, sslmode="require"),
        "LANDLORD_COMPUTE_PROVIDERS": "process",
        "LANDLORD_NODE_GRACE_SECONDS": str(grace_seconds),
        "LANDLORD_ADMIN_TOKEN": token,
    }
    head, *others = members = [Member(machine, port, **settings) for machine in machines]
    head.run("up")
    for other in others:
        other.run("node", "join", head.machine.address, "--invitation", str(invited(head, other)))
    return members


def invited(head: Member, other: Member) -> Path:
    """The invitation that the head has made for it."""
    invitation = other.machine.directory / "invitation"
    invitation.write_text(head.run("node", "invite", other.machine.address))
    return invitation
