"""Many tenants at once, and their end: `python -m benchmarks.burst [--tenants 40,200] [--provider docker]`.

Seconds, 8 requests at a time. `accepted`: until the last 202; `begun`: until the last execution runs; `activations`:
how many a second by then; `ready`: until the last tenant is ready; `gone`: from the first DELETE until the last is
gone. Floors of the same run, for docker, 8 at a time too: `docker run` until the first good answer, and `docker rm -f`.
`own network`: the same where each container has a network of its own, as each tenant has. `cpu`: processor time by kind
of process until all are ready, `until gone` until all are gone, `of the floor` that of the floor until all answer. `all
of these` is ours with Docker's, `all of the machine` what the kernel counted in that time.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network
from typing import Any

import docker
import httpx
import psutil
from docker.types import IPAMConfig, IPAMPool

from benchmarks.accounted import Accounted
from benchmarks.at_once import at_once
from benchmarks.installed import home, installed
from benchmarks.path import answers, docker_spec, process_spec
from benchmarks.results import write
from controlplane.settings import DEFAULT_SUBNETS
from providers.compute.docker.subnets import SubnetPool
from tests.e2e.installation import Installation, gone, ready
from tests.engines import WEB_IMAGE, build_web_image, running_docker

LOOK_SECONDS = 1.0
PAUSE_SECONDS = 0.2
"""Between two questions whether a tenant is ready, or gone: each costs the machine as much as a GET."""
LONGEST = 1800.0


@dataclass
class Floor:
    """Seconds of `docker run` with its first good answer, and of `docker rm -f`. CPU of the first by kind of
    process."""

    up: float
    down: float
    cpu: dict[str, float]


def ours(of: Installation | None) -> Callable[[psutil.Process], bool]:
    """Whether a process is one of Docker's, of this benchmark, or of that installation."""

    def test(process: psutil.Process) -> bool:
        name = process.name()
        if name.startswith(("dockerd", "containerd", "docker-proxy")) or process.pid == os.getpid():
            return True
        if of is None:
            return False
        if name == "postgres":
            return process.cwd().startswith(str(of.home))
        return process.environ().get("LANDLORD_HOME") == str(of.home)

    return test


@asynccontextmanager
async def accounted(of: Installation | None) -> AsyncIterator[Accounted]:
    """CPU by kind of process, of the time within."""

    async def look() -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await asyncio.to_thread(account.look)

    with Accounted(ours(of)) as account:
        looking = asyncio.create_task(look())
        try:
            yield account
        finally:
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking


async def floor(engine: docker.DockerClient, count: int, *, own_network: bool = False) -> Floor:
    made: list[tuple[Any, Any]] = []
    """Each container with its network, if it has one of its own."""
    free = SubnetPool(DEFAULT_SUBNETS).free((), 0)

    def network(subnet: IPv4Network) -> Any:
        pool = IPAMConfig(pool_configs=[IPAMPool(subnet=str(subnet))])
        return engine.networks.create(f"bench-{subnet.network_address}", driver="bridge", ipam=pool)

    async def run(client: httpx.AsyncClient) -> None:
        own = await asyncio.to_thread(network, next(free)) if own_network else None
        within = {} if own is None else {"network": own.id}
        container = await asyncio.to_thread(
            engine.containers.run, WEB_IMAGE, detach=True, ports={"8080/tcp": ("127.0.0.1", None)}, **within
        )
        made.append((container, own))
        await asyncio.to_thread(container.reload)
        url = f"http://127.0.0.1:{container.ports['8080/tcp'][0]['HostPort']}/"
        while not await answers(client, url):  # noqa: ASYNC110, a probe is all there is to await
            await asyncio.sleep(0.01)

    async def remove(container: Any, own: Any) -> None:
        await asyncio.to_thread(container.remove, force=True, v=True)
        if own is not None:
            await asyncio.to_thread(own.remove)

    try:
        async with httpx.AsyncClient(trust_env=False) as client, accounted(None) as account:
            up = await at_once([lambda: run(client)] * count)
    finally:
        down = await at_once([lambda one=one: remove(*one) for one in made])
    return Floor(up, down, sums(account))


async def burst(installation: Installation, spec: dict[str, Any], count: int) -> dict[str, Any]:
    """Seconds by name, and those of the processor by kind of process as `cpu` and `cpu until gone`."""
    names = [f"burst-{number}" for number in range(count)]
    async with installation.http() as client:

        async def create(name: str) -> None:
            (await client.post("/tenants", json={"name": name, "spec": spec})).raise_for_status()

        async def delete(name: str) -> None:
            (await client.delete(f"/tenants/{name}")).raise_for_status()

        async def all_of(wait: Callable[..., Awaitable[Any]]) -> None:
            for name in names:
                await wait(client, name, LONGEST, PAUSE_SECONDS)

        async with accounted(installation) as made:
            began, at = time.perf_counter(), time.time()
            accepted = await at_once([lambda name=name: create(name) for name in names])
            await all_of(ready)
            served = time.perf_counter() - began
        begun = max([await _started(client, name) for name in names]) - at
        async with accounted(installation) as removed:
            began = time.perf_counter()
            await at_once([lambda name=name: delete(name) for name in names])
            await all_of(gone)
            ended = time.perf_counter() - began
    times = {"accepted": accepted, "begun": begun, "ready": served, "gone": ended}
    return {**times, "cpu": sums(made), "cpu until gone": sums(removed)}


def sums(account: Accounted) -> dict[str, float]:
    return {**account.by_kind(), "all of these": account.ours, "all of the machine": account.machine}


async def _started(client: httpx.AsyncClient, name: str) -> float:
    """When its first execution began, in seconds of this machine's clock."""
    (*_, first) = (await client.get(f"/tenants/{name}/executions")).raise_for_status().json()["items"]
    return datetime.fromisoformat(first["started_at"]).timestamp()


def lines(
    count: int, provider: str, found: dict[str, Any], floors: Floor | None, networks: Floor | None
) -> list[dict[str, Any]]:
    of = f"{count} {provider}"
    accounts = {"": found.pop("cpu"), "until gone": found.pop("cpu until gone")}
    said = []
    for which, measured in (("", floors), ("own network", networks)):
        if measured is None:
            continue
        accounts[f"of the floor {which}".strip()] = measured.cpu
        floor = {"ready": measured.up, "gone": measured.down}
        said += [
            {
                "metric": f"{of} {name} {which}".strip(),
                "unit": "s",
                "seconds": round(found[name], 2),
                "floor_seconds": round(seconds, 2),
            }
            for name, seconds in floor.items()
        ]
    told = () if floors is None else ("ready", "gone")
    return [
        {"metric": f"{of} activations", "unit": "1/s", "per_second": round(count / found["begun"], 2)},
        *(
            {"metric": f"{of} {name}", "unit": "s", "seconds": round(seconds, 2)}
            for name, seconds in found.items()
            if name not in told
        ),
        *said,
        *(
            {"metric": f"{of} {when}".strip(), "kind": kind, "unit": "s", "cpu_seconds": round(seconds, 2)}
            for when, cpu in accounts.items()
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
                networks = asyncio.run(floor(engine, count, own_network=True)) if of_docker else None
                found = asyncio.run(burst(installation, docker_spec() if of_docker else process_spec(), count))
                # One after the other, so that the first is kept if the second fails.
                write("burst", lines(count, options.provider, found, floors, networks))
    return 0


if __name__ == "__main__":
    sys.exit(main())
