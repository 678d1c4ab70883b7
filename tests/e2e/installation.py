"""A whole installation for tests and benchmarks: `landlord up` in a home and on a port of its own, real everything."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.e2e.checkout import Checkout
from tests.processes import such

LANDLORD = str(Path(sys.executable).with_name("landlord"))
UP_SECONDS = 400
"""Much more than it takes, for a machine that is busy with other things."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Installation:
    """One control plane: its command line, its API, its processes."""

    def __init__(self, home: Path, port: int, **settings: str) -> None:
        self.home = home
        self.port = port
        self.command = LANDLORD
        self.checkout: Checkout | None = None
        self.failpoints = home / "failpoints"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("LANDLORD_")}
        self.environ = {
            **inherited,
            "LANDLORD_HOME": str(home),
            # Contexts of the person who runs the tests do not count.
            "XDG_CONFIG_HOME": str(home / "config"),
            "LANDLORD_PORT": str(port),
            **({"LANDLORD_PROCESS_ROLE": "operator"} if os.geteuid() == 0 else {"LANDLORD_PROCESS_UNSAFE": "true"}),
            "LANDLORD_FAILPOINTS": str(self.failpoints),
            "LANDLORD_SWEEP_SECONDS": "2",
            **settings,
        }

    def runs_from(self, checkout: Checkout) -> None:
        """Its code is that one from the next `up` on; a test may change it, and nobody else does."""
        self.checkout, self.command = checkout, str(checkout.landlord)

    def run(self, *words: str, timeout: float = UP_SECONDS, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """`landlord …`; its output is in the failure."""
        done = subprocess.run(
            [self.command, *words],
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"landlord {' '.join(words)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def run_with(self, *words: str, **settings: str) -> "subprocess.CompletedProcess[str]":
        """`landlord …` with these settings besides; however it ends."""
        before, self.environ = self.environ, self.environ | settings
        try:
            return self.run(*words, check=False)
        finally:
            self.environ = before

    def up(self) -> None:
        self.failpoints.mkdir(parents=True, exist_ok=True)
        self.run("up")

    def down(self) -> None:
        self.run("down")

    @property
    def token(self) -> str:
        return (self.home / "token").read_text().strip()

    def http(self, token: str | None = None) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}/v1",
            headers={"Authorization": f"Bearer {token or self.token}"},
            timeout=30,
            trust_env=False,
        )

    def processes(self) -> list[psutil.Process]:
        """All that bear this home in their environment: Ray, Serve, actors, HAProxy."""
        home = str(self.home)
        return such(lambda process: process.environ().get("LANDLORD_HOME") == home and process.pid != os.getpid())

    def postgres_processes(self) -> list[psutil.Process]:
        """The embedded Postgres of this home: its processes name or stand in its data directory."""
        return such(lambda process: process.name() == "postgres" and process.cwd().startswith(str(self.home)))

    def ray_environment(self) -> dict[str, str]:
        """What an operator exports to ask this home's Ray (its dashboard) with Ray's own tools."""
        ports = json.loads((self.home / "state.json").read_text())["ports"]
        return {
            **self.environ,
            "RAY_ADDRESS": f"http://127.0.0.1:{ports['dashboard']}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.home / "ray-token"),
        }

    @property
    def ports(self) -> dict[str, int]:
        found: dict[str, int] = json.loads((self.home / "state.json").read_text())["ports"]
        return found

    @property
    def build(self) -> str:
        """The code that the last `up` brought."""
        return str(json.loads((self.home / "state.json").read_text())["build"])

    async def operator_script(self, script: str, *arguments: str) -> Any:
        """Run it with Ray's client address and these arguments; the JSON of its last line. Ray's own words are in the
        failure."""
        address = f"ray://127.0.0.1:{self.ports['client']}"
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", script, address, *arguments],
            env=self.ray_environment() | {"RAY_ADDRESS": ""},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode != 0:
            logs = sorted((self.home / "ray").glob("**/ray_client_server*.err"), key=lambda log: log.stat().st_mtime)
            ends = "\n".join(f"{log}: {log.read_text(errors='replace')[-2000:]}" for log in logs[-3:])
            raise AssertionError(f"exit {done.returncode}: {done.stderr}\n{ends}")
        return json.loads(done.stdout.splitlines()[-1])


async def until(
    client: httpx.AsyncClient,
    name: str,
    condition: Callable[[dict[str, Any]], bool],
    seconds: float = 60,
    pause: float = 0.05,
) -> dict[str, Any]:
    """Polls GET every `pause` seconds until `condition` holds; what was seen last is in the failure."""
    give_up = time.monotonic() + seconds
    while True:
        answer = await client.get(f"/tenants/{name}")
        body: dict[str, Any] = answer.json()
        if condition(body):
            return body
        assert time.monotonic() < give_up, f"not in {seconds} s: {body}"
        await asyncio.sleep(pause)


async def ready(client: httpx.AsyncClient, name: str, seconds: float = 60, pause: float = 0.05) -> dict[str, Any]:
    return await until(
        client,
        name,
        lambda t: t.get("status") == "ready" and t["generation"] == t["observed_generation"],
        seconds,
        pause,
    )


async def gone(client: httpx.AsyncClient, name: str, seconds: float = 60, pause: float = 0.05) -> None:
    give_up = time.monotonic() + seconds
    while (answer := await client.get(f"/tenants/{name}")).status_code != 410:
        assert time.monotonic() < give_up, answer.json()
        await asyncio.sleep(pause)
