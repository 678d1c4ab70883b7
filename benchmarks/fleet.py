"""What a sweep costs with many tenants at rest: `python -m benchmarks.fleet [--tenants 1000,10000,100000]`.

Seconds of one sweep by stage, and of processor time of its process, on real rows and with a fake cloud in the same
process; the mean of a few sweeps, after the first, which reads all. `sweep`: all of them. `probes` and `whole` (all
tenants are read again) are due each 30 s and each 60 s, the others each 10 s. `share`: per cent of one core.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from actors.supervisor.nominations import Nominations
from actors.supervisor.probes import RestingProbes
from actors.supervisor.sweep import Sweep
from benchmarks.results import write
from controlplane.local.postgres import EmbeddedPostgres
from controlplane.persistence import bootstrap, fleet, gauges, totals
from controlplane.persistence.database import open_database
from controlplane.persistence.resting import resting
from providers.compute.fake import FakeCloud
from tests.fleet import insert_fleet, instances, serve_fleet
from tests.integration.owner import World, spec

SIZES = "1000,10000,100000"
SWEEPS = 5
SWEEP_SECONDS = 10.0
EACH_SECONDS = {"probes": 30.0, "whole": 60.0}
Stage = Callable[[], Awaitable[Any]]


async def timed(stage: Stage) -> tuple[float, float]:
    """Seconds, and of those the processor's."""
    began, used = time.monotonic(), time.process_time()
    await stage()
    return time.monotonic() - began, time.process_time() - used


async def measure(url: str, home: Path, tenants: int) -> list[dict[str, Any]]:
    database = open_database(url, pool=5)
    await bootstrap.migrate(database)
    await insert_fleet(database, tenants, spec("1"))
    await serve_fleet(database, "cloud")
    cloud = FakeCloud(identity="cloud")
    cloud.fill(await instances(database, spec("1")))
    now = [0.0]
    async with World(database, url, home, cloud).net() as runtime:
        woken: list[str] = []
        nominations = Nominations(lambda tenant, _: woken.append(tenant.name))
        sweep = Sweep(runtime, nominations)
        probes = RestingProbes(runtime.prober, nominations, lambda: sweep.resting, (), 30, clock=lambda: now[0])
        stages: dict[str, Stage] = {
            "due": sweep.due,
            "owners": lambda: fleet.silent_owners(database, "test", 15.0),
            "totals": lambda: totals.roll_up(database, providers={"fake"}, engines={"embedded"}),
            "figures": lambda: figures(database),
            "resources": sweep.resources,
            "probes": probes.quick,
            "whole": lambda: resting(database, "fake"),
        }
        for stage in stages.values():
            await stage()
        costs: dict[str, list[tuple[float, float]]] = {name: [] for name in stages}
        for _ in range(SWEEPS):
            now[0] += EACH_SECONDS["probes"]
            for name, stage in stages.items():
                costs[name].append(await timed(stage))
        if woken:
            raise RuntimeError(f"a fleet at rest is woken: {woken[:3]}")
    await database.dispose()
    return lines(tenants, {name: mean(seen) for name, seen in costs.items()})


async def figures(database: AsyncEngine) -> None:
    await gauges.tenants_by_status(database)
    await gauges.tenants_on(database, {"fake": "cloud"})
    await gauges.heal_budgets_spent(database)


def mean(seen: list[tuple[float, float]]) -> tuple[float, float]:
    return sum(one for one, _ in seen) / len(seen), sum(other for _, other in seen) / len(seen)


def lines(tenants: int, costs: dict[str, tuple[float, float]]) -> list[dict[str, Any]]:
    def line(stage: str, seconds: float, cpu: float, share: float) -> dict[str, Any]:
        numbers = {"seconds": round(seconds, 3), "cpu_seconds": round(cpu, 3), "share": round(share * 100, 2)}
        return {"metric": "fleet_sweep", "tenants": tenants, "stage": stage, "unit": "s", **numbers}

    shares = {name: cpu / EACH_SECONDS.get(name, SWEEP_SECONDS) for name, (_, cpu) in costs.items()}
    every = [line(name, seconds, cpu, shares[name]) for name, (seconds, cpu) in costs.items()]
    seconds, cpu = (sum(numbers) for numbers in zip(*costs.values(), strict=True))
    return [*every, line("sweep", seconds, cpu, sum(shares.values()))]


def main(words: Sequence[str] | None = None) -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    arguments.add_argument("--tenants", default=SIZES)
    sizes = [int(size) for size in arguments.parse_args(words).tenants.split(",")]
    found: list[dict[str, Any]] = []
    for size in sizes:
        home = Path(tempfile.mkdtemp(prefix="ll-bench-"))
        server = EmbeddedPostgres(data=home / "pg", sockets=home / "s", log=home / "pg.log")
        try:
            found += asyncio.run(measure(server.start(), home, size))
        finally:
            server.stop()
            shutil.rmtree(home, ignore_errors=True)
    write("fleet", found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
