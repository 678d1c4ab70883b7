"""What tracing costs in a burst: `python -m benchmarks.tracing [--rounds N] [--tenants N]`.

Two installations, one with a collector of the benchmark's own and one without, take bursts in turns: tenants of the
fake cloud, 8 requests at a time, until all are ready, and then deleted. `cpu`: CPU seconds of everything that bears the
home, processes that ended included, and of the embedded Postgres; what the collector does is not in it. `added`: the
median over the rounds of what "on" took more than "off", in per cent.
"""

import argparse
import asyncio
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil

from benchmarks.results import write
from tests.collector import collecting
from tests.e2e.installation import Installation, free_port, gone, ready

AT_ONCE = 8
SPEC = {"compute": {"provider": "fake", "config": {}}}
LOOK_SECONDS = 0.2


class Spent:
    """CPU seconds of an installation's processes. One that ends between two looks takes what it spent since the last
    with it, which is the same for both."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._by_process: dict[tuple[int, float], float] = {}

    def look(self) -> float:
        for process in (*self._installation.processes(), *self._installation.postgres_processes()):
            try:
                self._by_process[process.pid, process.create_time()] = sum(process.cpu_times()[:2])
            except psutil.NoSuchProcess:
                continue
        return sum(self._by_process.values())

    async def watch(self) -> None:
        while True:
            await asyncio.to_thread(self.look)
            await asyncio.sleep(LOOK_SECONDS)


async def burst(installation: Installation, tenants: int) -> dict[str, float]:
    slots = asyncio.Semaphore(AT_ONCE)
    names = [f"traced-{number}" for number in range(tenants)]
    spent = Spent(installation)
    async with installation.http() as client:

        async def make(name: str) -> None:
            async with slots:
                (await client.post("/tenants", json={"name": name, "spec": SPEC})).raise_for_status()
            await ready(client, name, seconds=300, pause=0.5)

        before, began = spent.look(), time.monotonic()
        watching = asyncio.create_task(spent.watch())
        await asyncio.gather(*map(make, names))
        for name in names:
            (await client.delete(f"/tenants/{name}")).raise_for_status()
        for name in names:
            await gone(client, name, seconds=300)
        passed = time.monotonic() - began
        watching.cancel()
        return {"cpu": spent.look() - before, "seconds": passed}


async def compare(pair: dict[str, Installation], rounds: int, tenants: int) -> list[dict[str, Any]]:
    took: dict[str, list[dict[str, float]]] = {name: [] for name in pair}
    for number in range(rounds + 1):
        # In turns, and each first in turn.
        for name in sorted(pair, reverse=number % 2 == 0):
            found = await burst(pair[name], tenants)
            if number > 0:  # the first one warms up
                took[name].append(found)
    lines: list[dict[str, Any]] = []
    for of in ("cpu", "seconds"):
        on, off = ([one[of] for one in took[name]] for name in ("on", "off"))
        lines.append(
            {
                "metric": f"tracing_{of}",
                "unit": "s",
                "n": rounds,
                "tenants": tenants,
                "off": round(statistics.median(off), 2),
                "on": round(statistics.median(on), 2),
                "added": round(statistics.median(a / b * 100 - 100 for a, b in zip(on, off, strict=True)), 1),
            }
        )
    return lines


@contextmanager
def installed(**settings: str) -> Iterator[Installation]:
    home = Path(tempfile.mkdtemp(prefix="ll-bench-"))
    installation = Installation(home, free_port(), LANDLORD_COMPUTE_PROVIDERS="fake", **settings)
    installation.up()
    try:
        yield installation
    finally:
        installation.run("down", "--purge", check=False)
        shutil.rmtree(home, ignore_errors=True)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--tenants", type=int, default=40)
    options = arguments.parse_known_args()[0]
    with ExitStack() as stack:
        collector = stack.enter_context(collecting())
        pair = {
            "off": stack.enter_context(installed()),
            "on": stack.enter_context(installed(LANDLORD_OTLP_ENDPOINT=collector.url)),
        }
        lines = asyncio.run(compare(pair, options.rounds, options.tenants))
        assert collector.size > options.tenants, "nothing was traced"
    write("tracing", lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
