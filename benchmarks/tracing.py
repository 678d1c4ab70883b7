"""What tracing costs in a burst: `python -m benchmarks.tracing [--rounds N] [--tenants N]`.

Two installations, one with a collector of the benchmark's own and one without, take bursts in turns: tenants of the
fake cloud, 8 requests at a time, until all are ready, and then deleted. `cpu`: CPU seconds of everything that bears the
home, processes that ended included, and of the embedded Postgres; what the collector does is not in it. `added`: the
median over the rounds of what "on" took more than "off", in per cent.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import Any

from benchmarks.installed import home, installed, with_postgres
from benchmarks.results import write
from benchmarks.spent import Spent
from tests.collector import collecting
from tests.e2e.installation import Installation, gone, ready

AT_ONCE = 8
SPEC = {"compute": {"provider": "fake", "config": {}}}
LOOK_SECONDS = 0.2


async def watch(spent: Spent) -> None:
    while True:
        await asyncio.to_thread(spent.look)
        await asyncio.sleep(LOOK_SECONDS)


async def burst(installation: Installation, tenants: int) -> dict[str, float]:
    slots = asyncio.Semaphore(AT_ONCE)
    names = [f"traced-{number}" for number in range(tenants)]
    async with installation.http() as client:

        async def make(name: str) -> None:
            async with slots:
                (await client.post("/tenants", json={"name": name, "spec": SPEC})).raise_for_status()
            await ready(client, name, seconds=300, pause=0.5)

        spent, began = Spent(lambda: with_postgres(installation)), time.monotonic()
        watching = asyncio.create_task(watch(spent))
        await asyncio.gather(*map(make, names))
        for name in names:
            (await client.delete(f"/tenants/{name}")).raise_for_status()
        for name in names:
            await gone(client, name, seconds=300)
        passed = time.monotonic() - began
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        spent.look()
        return {"cpu": spent.total(), "seconds": passed}


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


def main(words: Sequence[str] | None = None) -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--tenants", type=int, default=40)
    options = arguments.parse_args(words)
    with ExitStack() as stack:
        collector = stack.enter_context(collecting())

        def one(**settings: str) -> Installation:
            place = stack.enter_context(home())
            return stack.enter_context(installed(place, LANDLORD_COMPUTE_PROVIDERS="fake", **settings))

        pair = {"off": one(), "on": one(LANDLORD_OTLP_ENDPOINT=collector.url)}
        lines = asyncio.run(compare(pair, options.rounds, options.tenants))
        assert collector.size > options.tenants, "nothing was traced"
        write("tracing", lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
