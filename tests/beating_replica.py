"""A replica of the API in a process of its own, with a heartbeat on its loop: `python -m tests.beating_replica URL`.

It prints its port, serves until its stdin ends, and answers `/beat` with how long the loop was held
since the last time.
"""

import asyncio
import socket
import sys
import time
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from actors.machines import RayMachines
from controlplane.api.app import create_app
from controlplane.persistence import tokens
from controlplane.persistence.database import open_database
from controlplane.persistence.transaction import transaction
from controlplane.ports import ComputeProvider
from controlplane.settings import Settings
from providers.compute.docker.provider import DockerCompute
from providers.compute.ecs.provider import EcsCompute
from providers.compute.fake import FakeCloud, FakeCompute
from tests.fakes import FakeDirectory
from tests.integration.api_replica import ADMIN, CLUSTER

PULSE = 0.005


class Heart:
    """Beats on the loop. It is late when something holds the loop, and when the machine gives this thread no CPU; the
    kernel tells how long the thread was ready to run and had none, so that the load of others is not counted."""

    def __init__(self) -> None:
        self._held = 0.0

    async def beat(self) -> None:
        while True:
            begun, queued = time.perf_counter(), _queued()
            await asyncio.sleep(PULSE)
            late = time.perf_counter() - begun - PULSE
            self._held = max(self._held, late - (_queued() - queued))

    async def read_now(self) -> dict[str, float]:
        """After a beat that began after the last request was answered."""
        await asyncio.sleep(2 * PULSE)
        held, self._held = self._held, 0.0
        return {"held": held}

    async def stop_for_a_moment(self) -> None:
        """Does what no request may do."""
        time.sleep(0.15)  # noqa: ASYNC251


def _queued() -> float:
    """Seconds for which this thread was ready to run and waited for a CPU (the second number of its schedstat)."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9


async def main(database_url: str) -> None:
    database = open_database(database_url, pool=2)
    async with transaction(database) as tx:
        await tokens.put_admin(tx, ADMIN)
    directory, settings = FakeDirectory(), Settings()
    compute: dict[str, ComputeProvider] = {
        "docker": DockerCompute(),
        "ecs": EcsCompute.build(settings),
        "fake": FakeCompute(FakeCloud()),
    }
    app = create_app(
        settings,
        database_url=database_url,
        directory=directory,
        machines=RayMachines(),
        compute=compute,
        workflows=["embedded"],
        cluster_id=CLUSTER,
    )
    heart = Heart()
    app.router.add_api_route("/beat", heart.read_now)
    app.router.add_api_route("/hold", heart.stop_for_a_moment)
    async with app.router.lifespan_context(app):
        beating = asyncio.create_task(heart.beat())
        await _serve(app)
        beating.cancel()
    await database.dispose()


async def _serve(app: FastAPI) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.should_exit = True
    await serving


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
