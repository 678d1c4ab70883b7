"""Times of reads with many tenants, and of a bare Serve application: `python -m benchmarks.reads [--tenants N]`.

Milliseconds of one request after the other, and requests per second of 16 at once, through the same HAProxy and from
the same client. `hello`: two replicas of a Serve deployment that answer a word. `get_one`: any tenant by its name.
`list_50`: the page after any tenant. `cpu_ms`: processor time of all replicas in one request. The client is as plain as
possible, because it shares the machine with the server.
"""

import argparse
import asyncio
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.path import line, process_spec
from benchmarks.results import write
from controlplane.api import cursors
from controlplane.local.paths import Home
from controlplane.local.postgres import EmbeddedPostgres
from controlplane.model import TenantSpec
from controlplane.persistence.database import open_database
from tests.e2e.installation import Installation, free_port
from tests.fleet import insert_fleet

TENANTS = 100_000
AT_ONCE = 16
HELLO = Path(__file__).with_name("hello.py")
Target = Callable[[], str]


class Connection:
    """One keep-alive connection that asks and reads, and does nothing else."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._head = f"Host: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n"

    async def __aenter__(self) -> "Connection":
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def get(self, target: str) -> float:
        """Milliseconds until the whole answer was there. Raises RuntimeError for one that is no 200."""
        began = time.perf_counter()
        self._writer.write(f"GET {target} HTTP/1.1\r\n{self._head}".encode())
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        body = await self._reader.readexactly(length)
        if head[9:12] != b"200":
            raise RuntimeError(f"GET {target}: {head.decode()}{body.decode()}")
        return (time.perf_counter() - began) * 1000


async def measure(port: int, token: str, target: Target, rounds: int) -> tuple[list[float], float]:
    """Latencies one by one, and requests per second at once."""
    async with Connection(port, token) as connection:
        for _ in range(50):
            await connection.get(target())
        samples = [await connection.get(target()) for _ in range(rounds)]

    async def many() -> None:
        async with Connection(port, token) as connection:
            for _ in range(rounds // 4):
                await connection.get(target())

    began = time.perf_counter()
    await asyncio.gather(*(many() for _ in range(AT_ONCE)))
    return samples, (rounds // 4) * AT_ONCE / (time.perf_counter() - began)


def spent(installation: Installation) -> float:
    """Seconds of processor time of all replicas so far."""
    replicas = (one for one in installation.processes() if "ServeReplica" in " ".join(one.cmdline()))
    return sum(sum(one.cpu_times()[:2]) for one in replicas)


async def run(installation: Installation, tenants: int, rounds: int) -> list[dict[str, Any]]:
    names = [f"t-{number:06}" for number in range(tenants)]
    targets: dict[str, Target] = {
        "hello": lambda: "/hello",
        "healthz": lambda: "/healthz",
        "get_one": lambda: f"/v1/tenants/{random.choice(names)}",
        "list_50": lambda: f"/v1/tenants?limit=50&cursor={cursors.encode('tenants', random.choice(names[:-50]))}",
    }
    lines: list[dict[str, Any]] = []
    floor: float | None = None
    for metric, target in targets.items():
        before = spent(installation)
        samples, per_second = await measure(installation.port, installation.token, target, rounds)
        requests = 50 + rounds + rounds // 4 * AT_ONCE
        cpu = (spent(installation) - before) / requests * 1000
        more = {"per_second": round(per_second), "at_once": AT_ONCE, "cpu_ms": round(cpu, 2), "tenants": tenants}
        if lines:
            more |= {"floor_per_second": lines[0]["per_second"], "floor_cpu_ms": lines[0]["cpu_ms"]}
        lines.append(line(metric, samples, floor, **more))
        floor = floor or lines[0]["p50"]
    return lines


async def fill(installation: Installation, tenants: int) -> None:
    home = Home(installation.home)
    server = EmbeddedPostgres(home.postgres, home.sockets, home.logs / "postgres.log")
    database = open_database(server.url, pool=1)
    await insert_fleet(database, tenants, TenantSpec.model_validate(process_spec()))
    await database.dispose()


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    arguments.add_argument("--rounds", type=int, default=1000)
    arguments.add_argument("--tenants", type=int, default=TENANTS)
    options = arguments.parse_known_args()[0]
    home = Path(tempfile.mkdtemp(prefix="ll-bench-"))
    installation = Installation(home, free_port(), LANDLORD_COMPUTE_PROVIDERS="process")
    try:
        installation.up()
        asyncio.run(fill(installation, options.tenants))
        cluster = next(one.environ() for one in installation.processes() if one.name() == "gcs_server")
        subprocess.run([sys.executable, HELLO], env=cluster, check=True)
        lines = asyncio.run(run(installation, options.tenants, options.rounds))
    finally:
        # Without --purge: these tenants have no compute.
        installation.run("down", check=False)
    shutil.rmtree(home, ignore_errors=True)
    write("reads", lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
