"""How soon a new tenant is answered and begun: `python -m benchmarks.begin [--rounds N]`.

Milliseconds. `post_202_*`: until the answer; `post_begun_*`: until GET says that the execution runs, so that its owner
lives and has taken it. `pooled`: a worker stood ready; `empty`: all those were killed just before. `patch_202_live`:
PATCH of a tenant whose owner lives. `bare_actor`: a named actor of Ray's own on a worker that stands ready, from its
creation to its first answer. The floor of all is `get`: GET of one tenant, ten times before each of them. Most of a
round passes until workers stand ready again; each round is told on stderr.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

import httpx

from benchmarks.installed import home, installed, pooled
from benchmarks.lines import line
from benchmarks.results import write
from tests.e2e.installation import Installation, gone, ready, until
from tests.processes import kill, titled

BARE_SECONDS = 300.0
SPEC = {
    "compute": {"provider": "process", "config": {"command": ["sleep", "infinity"]}},
    # A tenant without a probe must live for ten seconds before it is ready, which would be most of a round.
    "health": {"min_healthy_seconds": 0, "interval_seconds": 1},
}
BARE = """
import asyncio, json, sys, time, ray
from actors.raylet import Raylet, addresses
ray.init(address=sys.argv[1], namespace="bench", log_to_driver=False)

@ray.remote
class Bare:
    async def ping(self):
        return "pong"

async def main(rounds):
    raylet = Raylet(addresses(head_only=True)[0])
    samples = []
    for number in range(rounds):
        while len((await raylet.workers()).unused) < 2:
            await asyncio.sleep(0.2)
        began = time.perf_counter()
        actor = Bare.options(name=f"bare-{number}", num_cpus=0, lifetime="detached").remote()
        await actor.ping.remote()
        samples.append((time.perf_counter() - began) * 1000)
        ray.kill(actor)
    print(json.dumps(samples))

asyncio.run(main(int(sys.argv[2])))
"""


def bare(installation: Installation, rounds: int) -> list[float]:
    """As a driver of the same cluster."""
    done = subprocess.run(
        [sys.executable, "-c", BARE, f"127.0.0.1:{installation.ports['gcs']}", str(rounds)],
        env=installation.ray_environment() | {"RAY_ADDRESS": "", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"},
        capture_output=True,
        text=True,
        timeout=BARE_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    samples: list[float] = json.loads(done.stdout.splitlines()[-1])
    return samples


async def create(client: httpx.AsyncClient, name: str) -> tuple[float, float]:
    """Until the 202, and until its execution runs."""
    began = time.perf_counter()
    (await client.post("/tenants", json={"name": name, "spec": SPEC})).raise_for_status()
    answered = time.perf_counter()
    await until(client, name, lambda tenant: tenant["workflow"]["state"] != "pending", pause=0.002)
    return (answered - began) * 1000, (time.perf_counter() - began) * 1000


async def measure(installation: Installation, rounds: int) -> dict[str, list[float]]:
    """The pool is filled anew before each sample."""
    samples: dict[str, list[float]] = {"get": []}
    async with installation.http() as client:

        async def gets(name: str) -> None:
            for _ in range(10):
                began = time.perf_counter()
                (await client.get(f"/tenants/{name}")).raise_for_status()
                samples["get"].append((time.perf_counter() - began) * 1000)

        await create(client, "begin-first")
        names = ["begin-first"]
        for number in range(rounds):
            round_began = time.monotonic()
            for pool in ("pooled", "empty"):
                await ready(client, names[-1])
                await asyncio.to_thread(pooled, installation)
                await gets(names[-1])
                if pool == "empty":
                    kill(titled("ray::IDLE", installation.processes()))
                names.append(f"begin-{pool}-{number}")
                answered, begun = await create(client, names[-1])
                samples.setdefault(f"post_202_{pool}", []).append(answered)
                samples.setdefault(f"post_begun_{pool}", []).append(begun)
                await ready(client, names[-1])
                await gets(names[-1])
                began = time.perf_counter()
                patch = {"spec": {"compute": {"config": {"env": {"A": "b"}}}}}
                (await client.patch(f"/tenants/{names[-1]}", json=patch)).raise_for_status()
                samples.setdefault("patch_202_live", []).append((time.perf_counter() - began) * 1000)
            print(f"round {number + 1} of {rounds}: {time.monotonic() - round_began:.0f} s", file=sys.stderr)
        for name in names:
            await ready(client, name)
            (await client.delete(f"/tenants/{name}")).raise_for_status()
        for name in names:
            await gone(client, name)
    return samples


def main(words: Sequence[str] | None = None) -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    arguments.add_argument("--rounds", type=int, default=10)
    rounds = arguments.parse_args(words).rounds
    # The pool is filled again at each sweep.
    settings = {"LANDLORD_COMPUTE_PROVIDERS": "process", "LANDLORD_ACTOR_IDLE_SECONDS": "never"}
    with home() as place, installed(place, **settings, LANDLORD_SWEEP_SECONDS="2") as installation:
        samples = asyncio.run(measure(installation, rounds))
        get = statistics.median(samples["get"])
        write("begin", [line(metric, found, None if metric == "get" else get) for metric, found in samples.items()])
        write("begin", [line("bare_actor", bare(installation, rounds), get)])
    return 0


if __name__ == "__main__":
    sys.exit(main())
