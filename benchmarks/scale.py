"""Unit costs that bound a large fleet: `python -m benchmarks.scale [--tenants N]`.

On the embedded Postgres, with the engine in its own process and the fake cloud. `wal_*`: bytes of write-ahead log of a
part of a tenant's life, from the intent to its end; of an owner's `heartbeat`, each five seconds. `turns_*`: its
transactions that write events, which take turns with one lock. `events_N`: transactions a second that change a row and
write an event, of N connections at once; `rows_N`: the same without the event. `stored`: bytes of a tenant's rows and
indexes, at rest, without its events. `cpu_probe`: of one HTTP probe, in the process that probes.
"""

import argparse
import asyncio
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import make_url, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks.results import write
from controlplane.local.postgres import EmbeddedPostgres
from controlplane.model import Endpoint, EventType, HealthSpec, Status, Tenant
from controlplane.persistence import bootstrap, leases, tables, tenants
from controlplane.persistence.database import open_database
from controlplane.persistence.transaction import transaction
from controlplane.ports import Origin, Resource, ResourceState
from controlplane.steps.probe import HealthProber
from providers.compute.fake import FakeCloud
from tests.fleet import insert_fleet, serve_fleet
from tests.integration.owner import World, create, delete, patch, spec
from tests.statements import statements

TENANTS = 20_000
SECONDS = 4.0
CONNECTIONS = (1, 8, 32)
BEATS = 100
PROBES, AT_ONCE = 1000, 50
SERVER = """
import asyncio
async def answer(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    writer.write(b"HTTP/1.1 204 No Content\\r\\nConnection: close\\r\\n\\r\\n")
    await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


def line(metric: str, unit: str, n: float) -> dict[str, Any]:
    return {"metric": metric, "unit": unit, "n": round(n, 1)}


async def life(database: AsyncEngine, url: str, home: Path) -> list[dict[str, Any]]:
    """Of the second tenant: the first one begins pages and types, and is not shown."""
    world, lines = World(database, url, home, FakeCloud()), list[dict[str, Any]]()

    async def lived(part: str, name: str, intent: Awaitable[object], status: Status, generation: int) -> Tenant:
        before = await wal(database)
        async with statements(database) as asked:
            await intent
            async with transaction(database) as tx:
                tenant = await tenants.lock_by_name(tx, name)
            assert tenant is not None
        owner = world.owner(tenant)
        async with statements(owner.database) as also, owner:
            await world.settled(tenant, status, generation)
        lines.append(line(f"wal_{part}", "bytes", await wal(database) - before))
        turns = sum("INSERT INTO events" in one for one in [*asked, *also])
        lines.append(line(f"turns_{part}", "transactions", turns))
        return tenant

    for name in ("first", "second"):
        lines.clear()
        await lived("provision", name, create(database, name, spec("1")), Status.READY, 1)
        tenant = await lived("update", name, patch(database, name, spec("2")), Status.READY, 2)
        fence = await leases.acquire(database, tenant.id, cluster_id="test", actor_id="bench")
        assert fence is not None
        before = await wal(database)
        for _ in range(BEATS):
            await leases.renew(database, tenant.id, fence)
        lines.append(line("wal_heartbeat", "bytes", (await wal(database) - before) / BEATS))
        await lived("delete", name, delete(database, name), Status.DELETED, 2)
    return lines


async def wal(database: AsyncEngine) -> int:
    """Position of the write-ahead log."""
    async with database.connect() as connection:
        at = text("SELECT pg_current_wal_insert_lsn() - '0/0'")
        return int((await connection.execute(at)).scalar_one())


async def turns(url: str) -> list[dict[str, Any]]:
    database, lines = open_database(url, pool=max(CONNECTIONS)), []
    async with database.connect() as connection:
        ids = list((await connection.execute(select(tables.tenants.c.id).limit(max(CONNECTIONS)))).scalars())

    async def rate(connections: int, *, event: bool) -> float:
        done, until = 0, time.monotonic() + SECONDS

        async def one(id: UUID) -> None:
            nonlocal done
            while time.monotonic() < until:
                async with transaction(database, actor="bench") as tx:
                    row = update(tables.tenants).where(tables.tenants.c.id == id)
                    await tx.connection.execute(row.values(status_message=str(done)))
                    if event:
                        tx.record(EventType.CLUSTER_ACTIVE, message="a message of some length, as most events have")
                done += 1

        await asyncio.gather(*(one(id) for id in ids[:connections]))
        return done / SECONDS

    for connections in CONNECTIONS:
        lines.append(line(f"rows_{connections}", "1/s", await rate(connections, event=False)))
        lines.append(line(f"events_{connections}", "1/s", await rate(connections, event=True)))
    await database.dispose()
    return lines


async def stored(database: AsyncEngine, count: int) -> dict[str, Any]:
    names = ("tenants", "executions", "placements", "steps")
    sizes = " + ".join(f"pg_total_relation_size('{name}')" for name in names)
    async with database.connect() as connection:
        return line("stored", "bytes", (await connection.execute(text(f"SELECT {sizes}"))).scalar_one() / count)


async def probes() -> dict[str, Any]:
    """Of a server in a process of its own."""
    server = await asyncio.create_subprocess_exec(sys.executable, "-c", SERVER, stdout=subprocess.PIPE)
    prober, slots = HealthProber(), asyncio.Semaphore(AT_ONCE)
    try:
        assert server.stdout is not None
        port = int(await server.stdout.readline())
        origin = Origin("bench", "bench", uuid4(), 1, 1, "tenant-bench-provision-1-00000000", "0" * 16)
        endpoints = (Endpoint("http", f"http://127.0.0.1:{port}", 8080),)
        resource = Resource("id", "bench", origin, ResourceState.RUNNING, endpoints)
        health = HealthSpec.model_validate({"http": {}, "timeout_seconds": 60})

        async def one() -> None:
            async with slots:
                assert (await prober.probe(resource, health)).healthy

        await one()
        began = time.process_time()
        await asyncio.gather(*(one() for _ in range(PROBES)))
        return line("cpu_probe", "us", (time.process_time() - began) / PROBES * 1e6)
    finally:
        await prober.close()
        server.kill()
        await server.wait()


async def measure(url: str, home: Path, count: int) -> list[dict[str, Any]]:
    """The life in one database, the fleet in another."""
    lived = open_database(url, pool=5)
    await bootstrap.migrate(lived)
    lines = await life(lived, url, home)
    async with lived.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("CREATE DATABASE fleet"))
    await lived.dispose()
    there = make_url(url).set(database="fleet").render_as_string(hide_password=False)
    database = open_database(there, pool=5)
    await bootstrap.migrate(database)
    await insert_fleet(database, count, spec("1"))
    await serve_fleet(database, "cloud")
    lines += [await stored(database, count), await probes()]
    await database.dispose()
    return lines + await turns(there)


def main(words: Sequence[str] | None = None) -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    arguments.add_argument("--tenants", type=int, default=TENANTS)
    count = arguments.parse_args(words).tenants
    home = Path(tempfile.mkdtemp(prefix="ll-bench-"))
    server = EmbeddedPostgres(data=home / "pg", sockets=home / "s", log=home / "pg.log")
    try:
        lines = asyncio.run(measure(server.start(), home, count))
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)
    write("scale", lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
