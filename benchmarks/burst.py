"""Many tenants at once, and their end: `python -m benchmarks.burst [--tenants 40,200] [--provider docker]`.

Seconds, 8 requests at a time. `accepted`: until the last 202; `begun`: until the last execution runs; `ready`: until
the last tenant is ready; `gone`: from the first DELETE until the last is gone. Floors of the same run, for docker, also
8 at a time: `docker run` until the first good answer, and `docker rm -f`. `cpu`: processor time by kind of process
until all are ready. `all of the machine` is what the kernel counted, so also processes that lived shorter than the
second between two looks, and those of others.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import docker
import httpx
import psutil

from benchmarks.at_once import at_once
from benchmarks.installed import home, installed
from benchmarks.path import answers, docker_spec, process_spec
from benchmarks.results import write
from benchmarks.spent import Spent, Watched, of_machine
from tests.e2e.installation import Installation, gone, ready
from tests.engines import WEB_IMAGE, build_web_image, running_docker

LOOK_SECONDS = 1.0
LONGEST = 1800.0


async def floor(engine: docker.DockerClient, count: int) -> tuple[float, float]:
    """Seconds of `docker run` with its first good answer, and of `docker rm -f`."""
    made: list[Any] = []

    async def run(client: httpx.AsyncClient) -> None:
        container = await asyncio.to_thread(
            engine.containers.run, WEB_IMAGE, detach=True, ports={"8080/tcp": ("127.0.0.1", None)}
        )
        made.append(container)
        await asyncio.to_thread(container.reload)
        url = f"http://127.0.0.1:{container.ports['8080/tcp'][0]['HostPort']}/"
        while not await answers(client, url):  # noqa: ASYNC110, a probe is all there is to await
            await asyncio.sleep(0.01)

    try:
        async with httpx.AsyncClient(trust_env=False) as client:
            up = await at_once([lambda: run(client)] * count)
    finally:
        down = await at_once([lambda one=one: asyncio.to_thread(one.remove, force=True, v=True) for one in made])
    return up, down


async def burst(installation: Installation, spec: dict[str, Any], count: int) -> dict[str, Any]:
    """Seconds by name, and those of the processor by kind of process as `cpu`."""
    names = [f"burst-{number}" for number in range(count)]

    def of_burst(process: psutil.Process) -> bool:
        name = process.name()
        if name.startswith(("dockerd", "containerd", "docker-proxy")):
            return True
        if name == "postgres":
            return process.cwd().startswith(str(installation.home))
        return process.pid == os.getpid() or process.environ().get("LANDLORD_HOME") == str(installation.home)

    async def look() -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await asyncio.to_thread(spent.look)

    async with installation.http() as client:

        async def create(name: str) -> None:
            (await client.post("/tenants", json={"name": name, "spec": spec})).raise_for_status()

        async def delete(name: str) -> None:
            (await client.delete(f"/tenants/{name}")).raise_for_status()

        async def all_of(wait: Callable[..., Awaitable[Any]]) -> None:
            for name in names:
                await wait(client, name, LONGEST)

        spent, machine = Spent(Watched(of_burst)), of_machine()
        looking = asyncio.create_task(look())
        began, at = time.perf_counter(), time.time()
        accepted = await at_once([lambda name=name: create(name) for name in names])
        await all_of(ready)
        served = time.perf_counter() - began
        machine = of_machine() - machine
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking
        spent.look()
        begun = max([await _started(client, name) for name in names]) - at
        began = time.perf_counter()
        await at_once([lambda name=name: delete(name) for name in names])
        await all_of(gone)
        ended = time.perf_counter() - began
    cpu = {**spent.by_kind(), "all of these": spent.total(), "all of the machine": machine}
    return {"accepted": accepted, "begun": begun, "ready": served, "gone": ended, "cpu": cpu}


async def _started(client: httpx.AsyncClient, name: str) -> float:
    """When its first execution began, in seconds of this machine's clock."""
    (*_, first) = (await client.get(f"/tenants/{name}/executions")).raise_for_status().json()["items"]
    return datetime.fromisoformat(first["started_at"]).timestamp()


def lines(of: str, found: dict[str, Any], floors: tuple[float, float] | None) -> list[dict[str, Any]]:
    cpu = found.pop("cpu")
    floor = dict(zip(("ready", "gone"), floors or (), strict=False))
    return [
        *(
            {"metric": f"{of} {name}", "unit": "s", "seconds": round(seconds, 2)}
            | ({"floor_seconds": round(floor[name], 2)} if name in floor else {})
            for name, seconds in found.items()
        ),
        *(
            {"metric": of, "kind": kind, "unit": "s", "cpu_seconds": round(seconds, 2)}
            for kind, seconds in cpu.items()
            if seconds >= 0.01
        ),
    ]


def main(words: Sequence[str] | None = None) -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    arguments.add_argument("--tenants", default="40,200")
    arguments.add_argument("--provider", choices=("docker", "process"), default="docker")
    options = arguments.parse_args(words)
    counts = [int(count) for count in options.tenants.split(",")]
    with home() as place, running_docker(place) as engine:
        of_docker = options.provider == "docker"
        build_web_image(engine)
        with installed(place / "h", LANDLORD_COMPUTE_PROVIDERS=options.provider) as installation:
            for count in counts:
                floors = asyncio.run(floor(engine, count)) if of_docker else None
                found = asyncio.run(burst(installation, docker_spec() if of_docker else process_spec(), count))
                # One after the other, so that the first is kept if the second fails.
                write("burst", lines(f"{count} {options.provider}", found, floors))
    return 0


if __name__ == "__main__":
    sys.exit(main())
