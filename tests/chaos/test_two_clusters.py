"""Two Ray clusters on one database: leases between them, and an actor that wakes up after another took its tenant."""

import asyncio
import itertools
import json
import os
import random
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from secrets import token_hex
from typing import Any
from uuid import UUID

import docker
import httpx
import psutil
import pytest
import pytest_asyncio
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from controlplane.persistence import tables
from controlplane.persistence.leases import LEASE_SECONDS
from tests.chaos.faults import tenant_actors
from tests.chaos.invariants import check
from tests.chaos.load import Client, acknowledged, delete_all, load_on
from tests.e2e.installation import Installation, free_port, gone, ready, until
from tests.processes import send, such

pytestmark = [pytest.mark.long, pytest.mark.docker, pytest.mark.cluster, pytest.mark.timeout(400)]

SEED = int(os.environ.get("CHAOS_SEED", "1"))
"""Of the run under load; CHAOS_SEED gives another one."""
TENANTS = 4
TAKE_OVER_SECONDS = LEASE_SECONDS + 30.0


TOKEN = "one-admin-token-for-both-of-the-homes"


def spec(image: str, color: str) -> dict[str, Any]:
    return {
        "compute": {
            "provider": "docker",
            "config": {"image": image, "env": {"COLOR": color}, "ports": [{"container_port": 8080}]},
        },
        "health": {"http": {"path": "/"}, "interval_seconds": 1},
    }


@pytest_asyncio.fixture
async def pair(
    database_url: str, docker_engine: docker.DockerClient
) -> AsyncIterator[tuple[Installation, Installation]]:
    homes = [Path(tempfile.mkdtemp(prefix="ll-two-")) for _ in range(2)]
    both = [
        Installation(home, free_port(), LANDLORD_DATABASE_URL=database_url, LANDLORD_ADMIN_TOKEN=TOKEN)
        for home in homes
    ]
    for one in both:
        await asyncio.to_thread(one.up)
    yield both[0], both[1]
    for one in both:
        await asyncio.to_thread(one.down)
    for home in homes:
        shutil.rmtree(home, ignore_errors=True)


async def test_a_paused_owner_wakes_up_after_another_cluster_took_over(
    pair: tuple[Installation, Installation], web_image: str
) -> None:
    here, there = pair
    held = here.failpoints / "apply_compute.before_record"
    held.write_text("hold")
    async with here.http() as client, there.http() as other:
        created = await client.post("/tenants", json={"name": "shared", "spec": spec(web_image, "blue")})
        assert created.status_code == 202
        await _exists(held.with_name(f"{held.name}.reached"))

        # While the lease is valid, the other cluster commits, notifies and answers pending.
        patched = await other.patch("/tenants/shared", json={"labels": {"seen": "there"}})
        assert patched.status_code == 200
        assert (await other.post("/tenants/shared/reconcile")).status_code == 202
        assert (await other.get("/tenants/shared")).json()["status"] == "provisioning"

        (owner,) = tenant_actors(here)
        owner.send_signal(signal.SIGSTOP)
        try:
            tenant = await ready(other, "shared", 90)
            held.unlink()
        finally:
            owner.send_signal(signal.SIGCONT)
        await _ended(owner)
        tenant = await until(other, "shared", lambda t: t["status"] == "ready")
        history = (await other.get("/tenants/shared/executions")).json()["items"]
        assert [item["state"] for item in history] == ["succeeded"]
        engine = docker.from_env()
        with_label = {"label": f"landlord.tenant-id={tenant['id']}"}
        assert len(engine.containers.list(all=True, filters=with_label)) == 1

        # The name is one across both, and either may delete it.
        assert (
            await client.post("/tenants", json={"name": "shared", "spec": spec(web_image, "red")})
        ).status_code == 409
        assert (await client.delete("/tenants/shared")).status_code == 202
        await gone(client, "shared", 90)
        assert engine.containers.list(all=True, filters=with_label) == []
        engine.close()


class Alternately:
    """A client of both APIs: one request here, the next one there."""

    def __init__(self, *clients: httpx.AsyncClient) -> None:
        self._next = itertools.cycle(clients)

    def __getattr__(self, method: str) -> Any:
        return getattr(next(self._next), method)


async def test_under_load_owners_sleep_past_their_leases_and_wake_up(
    pair: tuple[Installation, Installation], database: AsyncEngine, web_image: str
) -> None:
    """First those of one cluster, then those of the other: each time the awake one takes over what they own."""
    rng = random.Random(SEED)
    first = rng.randrange(2)
    lines = [f"seed {SEED}"]
    async with pair[0].http() as here, pair[1].http() as there:
        both: Any = Alternately(here, there)
        ours = f"two{SEED}-{token_hex(3)}"
        clients = [
            Client(f"{ours}-{number}", "docker", web_image, random.Random(rng.random()), both)
            for number in range(TENANTS)
        ]
        try:
            async with load_on(clients):
                for asleep, awake in ((pair[first], pair[1 - first]), (pair[1 - first], pair[first])):
                    await asyncio.sleep(rng.uniform(3, 6))
                    before = acknowledged(clients)
                    slept = await _sleep_past_their_leases(database, asleep, awake)
                    during = acknowledged(clients) - before
                    lines.append(f"{slept} owners of {asleep.home.name} slept, {during} acknowledged meanwhile")
                    assert during > 0, "nothing was acknowledged meanwhile"
                await asyncio.sleep(rng.uniform(1, 3))
            lines.append(f"{acknowledged(clients)} acknowledged")
            await check(clients, both)
            await delete_all(clients)
            await check(clients, both)
        except Exception as error:
            raise AssertionError(f"{lines}: {error!r}") from error
    print("; ".join(lines))


async def _sleep_past_their_leases(database: AsyncEngine, asleep: Installation, awake: Installation) -> int:
    """Every owner of the one cluster stands still until the other one has taken a tenant over. How many stood."""
    async with asyncio.timeout(TAKE_OVER_SECONDS):
        while not await _leased(database, asleep):  # noqa: ASYNC110, the load brings one
            await asyncio.sleep(0.1)
    owners = tenant_actors(asleep)
    send(signal.SIGSTOP, owners)
    try:
        theirs = await _leased(database, asleep)
        async with asyncio.timeout(TAKE_OVER_SECONDS):
            while theirs.isdisjoint(await _leased(database, awake)):  # noqa: ASYNC110, rows of another process
                await asyncio.sleep(0.1)
    finally:
        send(signal.SIGCONT, owners)
    return len(owners)


async def _leased(database: AsyncEngine, cluster: Installation) -> set[UUID]:
    """Tenants that the cluster owns now."""
    id = json.loads((cluster.home / "state.json").read_text())["cluster_id"]
    query = select(tables.tenants.c.id).where(
        tables.tenants.c.deleted_at.is_(None),
        tables.tenants.c.lease_owner.startswith(f"{id}/", autoescape=True),
        tables.tenants.c.lease_expires_at > func.clock_timestamp(),
    )
    async with database.connect() as connection:
        return set((await connection.execute(query)).scalars())


async def _exists(path: Path, seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not path.exists():  # noqa: ASYNC110, ASYNC240, the actor tells it through the file system
            await asyncio.sleep(0.05)


async def _ended(process: psutil.Process, seconds: float = 60) -> None:
    """The actor that lost its lease writes nothing more and exits."""
    async with asyncio.timeout(seconds):
        while such(lambda one: one.is_running() and one.status() != psutil.STATUS_ZOMBIE, [process]):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
