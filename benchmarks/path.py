"""Times of the whole path, and of its floor in the same run: `python -m benchmarks.path [--rounds N]
[--without-docker]`.

Milliseconds. `post_202_cold`: POST of a new tenant, whose actor must be activated; `patch_202_live`: PATCH of a tenant
with a live actor. `docker_floor`: `docker run` and the first good probe, done directly with the SDK. `*_ready`: from
the request until GET says ready at the newest generation. Compare the ratio and the difference within one run. How soon
a new tenant is answered, beside a GET: `benchmarks.begin`.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import docker
import httpx

from benchmarks.installed import home, installed
from benchmarks.lines import line
from benchmarks.results import write
from tests.e2e.installation import Installation, gone, ready
from tests.engines import WEB_IMAGE, build_web_image, running_docker


def docker_spec(color: str = "blue") -> dict[str, Any]:
    return {
        "compute": {
            "provider": "docker",
            "config": {"image": WEB_IMAGE, "env": {"COLOR": color}, "ports": [{"container_port": 8080}]},
        },
        "health": {"http": {"path": "/"}, "interval_seconds": 1},
    }


def process_spec(color: str = "blue") -> dict[str, Any]:
    command = ["python3", "-m", "http.server", "{port}", "--bind", "127.0.0.1"]
    return {
        "compute": {"provider": "process", "config": {"command": command, "env": {"COLOR": color}}},
        "health": {"http": {"path": "/"}, "interval_seconds": 1},
    }


async def floor(engine: docker.DockerClient, rounds: int) -> list[float]:
    """Directly: run a container, probe until the first good answer."""
    samples = []
    async with httpx.AsyncClient(trust_env=False) as client:
        for _ in range(rounds):
            began = time.perf_counter()
            container = await asyncio.to_thread(
                engine.containers.run, WEB_IMAGE, detach=True, ports={"8080/tcp": ("127.0.0.1", None)}
            )
            try:
                await asyncio.to_thread(container.reload)
                url = f"http://127.0.0.1:{container.ports['8080/tcp'][0]['HostPort']}/"
                while not await answers(client, url):  # noqa: ASYNC110, a probe is all there is to await
                    await asyncio.sleep(0.01)
                samples.append((time.perf_counter() - began) * 1000)
            finally:
                await asyncio.to_thread(container.remove, force=True, v=True)
    return samples


async def answers(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).status_code < 400
    except httpx.TransportError:
        return False


async def measure(client: httpx.AsyncClient, provider: str, rounds: int) -> dict[str, list[float]]:
    """Cold creates, then updates of one live tenant."""
    spec = docker_spec if provider == "docker" else process_spec
    samples: dict[str, list[float]] = {
        "post_202_cold": [],
        f"{provider}_post_ready_cold": [],
        "patch_202_live": [],
        f"{provider}_patch_ready_live": [],
    }
    for number in range(rounds):
        name = f"bench-{provider}-{number}"
        began = time.perf_counter()
        (await client.post("/tenants", json={"name": name, "spec": spec()})).raise_for_status()
        samples["post_202_cold"].append((time.perf_counter() - began) * 1000)
        await ready(client, name, pause=0.005)
        samples[f"{provider}_post_ready_cold"].append((time.perf_counter() - began) * 1000)
    for number in range(rounds * 2):
        patch = {"spec": {"compute": {"config": {"env": {"COLOR": f"red-{number}"}}}}}
        began = time.perf_counter()
        (await client.patch(f"/tenants/bench-{provider}-0", json=patch)).raise_for_status()
        samples["patch_202_live"].append((time.perf_counter() - began) * 1000)
        await ready(client, f"bench-{provider}-0", pause=0.005)
        samples[f"{provider}_patch_ready_live"].append((time.perf_counter() - began) * 1000)
    for number in range(rounds):
        (await client.delete(f"/tenants/bench-{provider}-{number}")).raise_for_status()
    for number in range(rounds):
        await gone(client, f"bench-{provider}-{number}")
    return samples


async def run(installation: Installation, engine: docker.DockerClient | None, rounds: int) -> list[dict[str, Any]]:
    floors = await floor(engine, rounds) if engine is not None else []
    reference = statistics.median(floors) if floors else None
    lines = [line("docker_floor", floors, None)] if floors else []
    async with installation.http() as client:
        for provider in ("process", *(("docker",) if floors else ())):
            for metric, samples in (await measure(client, provider, rounds)).items():
                of_docker = metric.startswith("docker")
                lines.append(line(metric, samples, reference if of_docker else None, provider=provider))
    return lines


def main(words: Sequence[str] | None = None) -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    arguments.add_argument("--rounds", type=int, default=10)
    arguments.add_argument("--without-docker", action="store_true")
    given = arguments.parse_args(words)
    with home() as place, nullcontext() if given.without_docker else running_docker(place) as engine:
        if engine is not None:
            build_web_image(engine)
        providers = "process" if engine is None else "process,docker"
        settings = {"LANDLORD_COMPUTE_PROVIDERS": providers, "LANDLORD_ACTOR_IDLE_SECONDS": "never"}
        with installed(place / "h", **settings) as installation:
            write("path", asyncio.run(run(installation, engine, given.rounds)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
