"""An installation on one of the machines: the head of a cluster, or a node of it."""

import ssl
import sys
from pathlib import Path
from typing import Any

import httpx

from tests.cluster.machines import Machine

LANDLORD = str(Path(sys.executable).with_name("landlord"))
UP_SECONDS = 300


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
