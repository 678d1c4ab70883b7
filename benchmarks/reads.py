"""Times of reads with many tenants: `python -m benchmarks.reads [--tenants N]`.

Milliseconds of one request after the other, and requests per second of 16 at once, from the same client. `hello`: two
replicas of a Serve deployment that answer a word, behind the same HAProxy; the floor of all others. `plain_select`: a
row by FastAPI and asyncpg under uvicorn, in two processes. `get_one`: any tenant by its name; `get_one_of_plain`: the
same numbers beside `plain_select`. `list_50`: the page after any tenant. `cpu`: processor time of all processes that
answer, in one request. All take turns, so that other load of the machine meets each. The client is as plain as
possible, because it shares the machine with the server.
"""

import argparse
import asyncio
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from sqlalchemy import make_url

from benchmarks.installed import database_url, home, installed
from benchmarks.lines import line
from benchmarks.path import process_spec
from benchmarks.results import write
from controlplane.api import cursors
from controlplane.model import TenantSpec
from controlplane.persistence.database import open_database
from tests.e2e.installation import Installation, free_port
from tests.fleet import insert_fleet

TENANTS = 100_000
AT_ONCE = 16
TURNS = 4
PROCESSES = 2
HELLO = Path(__file__).with_name("hello.py")
PLAIN_SECONDS = 60.0


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


@dataclass
class Reads:
    """One kind of read, and what was measured of it so far."""

    metric: str
    port: int
    target: Callable[[], str]
    answering: Callable[[], list[psutil.Process]]
    samples: list[float] = field(default_factory=list)
    asked: int = 0
    seconds: float = 0.0
    requests: int = 0
    cpu: float = 0.0

    async def turn(self, token: str, rounds: int) -> None:
        before = self._spent()
        async with Connection(self.port, token) as connection:
            for _ in range(10):
                await connection.get(self.target())
            self.samples += [await connection.get(self.target()) for _ in range(rounds)]
        each = max(1, rounds // 4)

        async def many() -> None:
            async with Connection(self.port, token) as connection:
                for _ in range(each):
                    await connection.get(self.target())

        began = time.perf_counter()
        await asyncio.gather(*(many() for _ in range(AT_ONCE)))
        self.seconds += time.perf_counter() - began
        self.asked += each * AT_ONCE
        self.requests += 10 + rounds + each * AT_ONCE
        self.cpu += self._spent() - before

    def _spent(self) -> float:
        return sum(sum(one.cpu_times()[:2]) for one in self.answering())

    @property
    def per_second(self) -> float:
        return self.asked / self.seconds

    @property
    def cpu_ms(self) -> float:
        return self.cpu / self.requests * 1000

    def line(self, metric: str, floor: "Reads | None") -> dict[str, Any]:
        known = sorted(floor.samples)[len(floor.samples) // 2] if floor else None
        numbers = {"per_second": round(self.per_second), "cpu_ms": round(self.cpu_ms, 3)}
        if floor:
            numbers |= {"floor_per_second": round(floor.per_second), "floor_cpu_ms": round(floor.cpu_ms, 3)}
        return line(metric, self.samples, known, **numbers)


async def measure(installation: Installation, plain: int, tenants: int, rounds: int) -> list[dict[str, Any]]:
    names = [f"t-{number:06}" for number in range(tenants)]
    ours, bare = replicas(installation, "landlord:"), replicas(installation, "hello:")
    port = installation.port

    def one() -> str:
        return f"/v1/tenants/{random.choice(names)}"

    def page() -> str:
        return f"/v1/tenants?limit=50&cursor={cursors.encode('tenants', random.choice(names[:-50]))}"

    hello = Reads("hello", port, lambda: "/hello", lambda: bare)
    select = Reads("plain_select", plain, one, lambda: uvicorns(plain))
    get = Reads("get_one", port, one, lambda: ours)
    others = [Reads("healthz", port, lambda: "/healthz", lambda: ours), get, Reads("list_50", port, page, lambda: ours)]
    for _ in range(TURNS):
        for reads in (hello, select, *others):
            await reads.turn(installation.token, max(1, rounds // TURNS))
    lines = [hello.line("hello", None), select.line("plain_select", hello)]
    return [*lines, *(one.line(one.metric, hello) for one in others), get.line("get_one_of_plain", select)]


def replicas(installation: Installation, application: str) -> list[psutil.Process]:
    title = f"ServeReplica:{application}"
    return [one for one in installation.processes() if title in " ".join(one.cmdline())]


def uvicorns(port: int) -> list[psutil.Process]:
    """The workers, which are children of the process with the command."""
    parent = next(one for one in psutil.Process().children() if str(port) in one.cmdline())
    return parent.children()


@contextmanager
def plainly_served(url: str) -> Iterator[int]:
    """The port of `benchmarks.plain`."""
    port = free_port()
    words = ["uvicorn", "benchmarks.plain:app", "--port", str(port), "--workers", str(PROCESSES), "--no-access-log"]
    dsn = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    environ = {**os.environ, "PLAIN_DATABASE_URL": dsn}
    server = subprocess.Popen([sys.executable, "-m", *words, "--log-level", "warning"], env=environ)
    try:
        give_up = time.monotonic() + PLAIN_SECONDS
        while not _answers(port):
            if time.monotonic() > give_up or server.poll() is not None:
                raise RuntimeError("uvicorn does not answer")
            time.sleep(0.1)
        yield port
    finally:
        server.terminate()
        server.wait()


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/v1/tenants/t-000000", trust_env=False).is_success
    except httpx.TransportError:
        return False


async def fill(url: str, tenants: int) -> None:
    database = open_database(url, pool=1)
    await insert_fleet(database, tenants, TenantSpec.model_validate(process_spec()))
    await database.dispose()


def main(words: Sequence[str] | None = None) -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    arguments.add_argument("--rounds", type=int, default=1000)
    arguments.add_argument("--tenants", type=int, default=TENANTS)
    options = arguments.parse_args(words)
    with home() as place, installed(place, purge=False, LANDLORD_COMPUTE_PROVIDERS="process") as installation:
        url = database_url(installation)
        asyncio.run(fill(url, options.tenants))
        cluster = next(one.environ() for one in installation.processes() if one.name() == "gcs_server")
        subprocess.run([sys.executable, HELLO], env=cluster, check=True)
        with plainly_served(url) as plain:
            write("reads", asyncio.run(measure(installation, plain, options.tenants, options.rounds)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
