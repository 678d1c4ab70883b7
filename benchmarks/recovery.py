"""After the loss of all processes, with unfinished work: `python -m benchmarks.recovery [--tenants N]`.

Seconds. N tenants on `process` are accepted while everything is paused; after the resume, all of Ray is killed as soon
as the first one is ready. `up`: of `landlord up`, the floor; `recovered`: from its beginning until the last tenant is
ready. `unfinished`: the number of those that were not ready shortly before the kill.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.at_once import at_once
from benchmarks.installed import home, installed
from benchmarks.results import write
from tests.e2e.installation import Installation, ready
from tests.processes import kill

LONGEST = 1800.0
SPEC = {
    "compute": {"provider": "process", "config": {"command": ["sleep", "infinity"]}},
    "health": {"min_healthy_seconds": 0, "interval_seconds": 1},
}


async def begin(installation: Installation, names: Sequence[str]) -> None:
    """Until the first is ready."""
    async with installation.http() as client:

        async def create(name: str) -> None:
            (await client.post("/tenants", json={"name": name, "spec": SPEC})).raise_for_status()

        (await client.post("/admin/pause", json={"all": True})).raise_for_status()
        await at_once([lambda name=name: create(name) for name in names])
        (await client.post("/admin/resume", json={"all": True})).raise_for_status()
        while not await count(installation, "ready"):  # noqa: ASYNC110
            await asyncio.sleep(0.2)


async def count(installation: Installation, status: str) -> int:
    """At most 500 of them."""
    async with installation.http() as client:
        answer = await client.get("/tenants", params={"status": status, "limit": 500})
        return len(answer.raise_for_status().json()["items"])


async def end(installation: Installation, names: Sequence[str]) -> None:
    async with installation.http() as client:
        for name in names:
            await ready(client, name, LONGEST)


def measure(installation: Installation, tenants: int) -> list[dict[str, Any]]:
    names = [f"lost-{number}" for number in range(tenants)]
    asyncio.run(begin(installation, names))
    done = asyncio.run(count(installation, "ready"))
    # Postgres bears another environment and lives; tenants' own processes do too.
    kill(installation.processes())
    began = time.monotonic()
    installation.up()
    up = time.monotonic() - began
    asyncio.run(end(installation, names))
    recovered = time.monotonic() - began
    return [
        {"metric": "unfinished", "unit": "tenants", "n": tenants - done},
        {"metric": "up", "unit": "s", "seconds": round(up, 1)},
        {"metric": "recovered", "unit": "s", "seconds": round(recovered, 1), "floor_seconds": round(up, 1)},
    ]


def main(words: Sequence[str] | None = None) -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    arguments.add_argument("--tenants", type=int, default=200)
    options = arguments.parse_args(words)
    with home() as place, installed(place, LANDLORD_COMPUTE_PROVIDERS="process") as installation:
        write("recovery", measure(installation, options.tenants))
    return 0


if __name__ == "__main__":
    sys.exit(main())
