"""How soon a new tenant is answered and begun; `benchmarks.path` prints it.

Milliseconds. `post_202_*`: until the answer; `post_begun_*`: until GET says that the
execution runs, so that its owner lives and has taken it. `pooled`: a worker stood ready; `empty`: all those were killed
just before. `bare_actor`: a named actor of Ray's own on a worker that stands ready, from its creation to its first
answer.
"""

import asyncio
import json
import subprocess
import sys
import time

import httpx

from tests.e2e.installation import Installation, gone, ready, until
from tests.processes import kill, titled

READY_WORKERS = 2
"""The default of LANDLORD_WARM_WORKERS."""
POOL_SECONDS = 60.0
SPEC = {"compute": {"provider": "process", "config": {"command": ["sleep", "infinity"]}}}
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
        timeout=600,
        check=False,
    )
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    samples: list[float] = json.loads(done.stdout.splitlines()[-1])
    return samples


async def pooled(installation: Installation) -> None:
    give_up = time.monotonic() + POOL_SECONDS
    while len(titled("ray::IDLE", installation.processes())) < READY_WORKERS:
        assert time.monotonic() < give_up, "no worker stands ready"
        await asyncio.sleep(0.2)


async def create(client: httpx.AsyncClient, name: str) -> tuple[float, float]:
    """Until the 202, and until its execution runs."""
    began = time.perf_counter()
    (await client.post("/tenants", json={"name": name, "spec": SPEC})).raise_for_status()
    answered = time.perf_counter()
    await until(client, name, lambda tenant: tenant["workflow"]["state"] != "pending", pause=0.002)
    return (answered - began) * 1000, (time.perf_counter() - began) * 1000


async def measure(installation: Installation, client: httpx.AsyncClient, rounds: int) -> dict[str, list[float]]:
    """The pool is filled anew before each sample. A GET is sent before and after each, so that all see one machine."""
    samples: dict[str, list[float]] = {"get": []}

    async def gets(name: str) -> None:
        for _ in range(10):
            began = time.perf_counter()
            (await client.get(f"/tenants/{name}")).raise_for_status()
            samples["get"].append((time.perf_counter() - began) * 1000)

    await create(client, "begin-first")
    names = ["begin-first"]
    for number in range(rounds):
        for pool in ("pooled", "empty"):
            await ready(client, names[-1])
            await pooled(installation)
            await gets(names[-1])
            if pool == "empty":
                kill(titled("ray::IDLE", installation.processes()))
            names.append(f"begin-{pool}-{number}")
            answered, begun = await create(client, names[-1])
            samples.setdefault(f"post_202_{pool}", []).append(answered)
            samples.setdefault(f"post_begun_{pool}", []).append(begun)
            await ready(client, names[-1])
            began = time.perf_counter()
            patch = {"spec": {"compute": {"config": {"env": {"A": "b"}}}}}
            (await client.patch(f"/tenants/{names[-1]}", json=patch)).raise_for_status()
            samples.setdefault("patch_202_live", []).append((time.perf_counter() - began) * 1000)
    for name in names:
        await ready(client, name)
        (await client.delete(f"/tenants/{name}")).raise_for_status()
    for name in names:
        await gone(client, name)
    samples["bare_actor"] = await asyncio.to_thread(bare, installation, rounds)
    return samples
