"""Memory of a tenant: `python -m benchmarks.memory [--actors N] [--tenants N]`.

MB, proportional: a page that several processes share is shared out among them. `live_actor`: what the installation
holds more for each tenant whose actor lives, on the fake cloud. `resting_tenant`: what it holds more for each of many
tenants at rest, after two sweeps, without Postgres, whose cache is as large as it was told.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.installed import database_url, home, installed
from benchmarks.reads import fill
from benchmarks.results import write
from benchmarks.spent import memory
from tests.e2e.installation import Installation, ready

SPEC = {"compute": {"provider": "fake", "config": {}}}
SETTLE_SECONDS = 20.0
"""Ready workers are filled up again, and two sweeps are over."""


async def measure(installation: Installation, actors: int, tenants: int) -> list[dict[str, Any]]:
    def held() -> float:
        return sum(memory(installation.processes()).values())

    await asyncio.sleep(SETTLE_SECONDS)
    empty = held()
    async with installation.http() as client:
        names = [f"live-{number}" for number in range(actors)]
        for name in names:
            (await client.post("/tenants", json={"name": name, "spec": SPEC})).raise_for_status()
        for name in names:
            await ready(client, name)
    await asyncio.sleep(SETTLE_SECONDS)
    live = held()
    await fill(database_url(installation), tenants)
    await asyncio.sleep(SETTLE_SECONDS)
    full = held()
    return [
        {"metric": "empty", "unit": "MB", "n": round(empty)},
        {"metric": "live_actor", "unit": "MB", "n": round((live - empty) / actors, 1)},
        {"metric": "resting_tenant", "unit": "MB", "n": round((full - live) / tenants, 4)},
    ]


def main(words: Sequence[str] | None = None) -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    arguments.add_argument("--actors", type=int, default=10)
    arguments.add_argument("--tenants", type=int, default=10_000)
    options = arguments.parse_args(words)
    settings = {"LANDLORD_COMPUTE_PROVIDERS": "fake,process", "LANDLORD_ACTOR_IDLE_SECONDS": "never"}
    with home() as place, installed(place, purge=False, **settings) as installation:
        write("memory", asyncio.run(measure(installation, options.actors, options.tenants)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
