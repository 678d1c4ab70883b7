"""Workers that stand ready on a real Ray: as many as wanted, and again after they were taken or killed."""

import asyncio
import time

import psutil
import pytest

from controlplane.local.programs import FORK_SERVER
from tests.e2e.installation import Installation, gone, ready
from tests.processes import kill, such, titled

pytestmark = [pytest.mark.docker, pytest.mark.cluster, pytest.mark.timeout(240)]

WANTED = 2
"""The default of LANDLORD_WARM_WORKERS."""


def unused(installation: Installation) -> dict[int, psutil.Process]:
    return {process.pid: process for process in titled("ray::IDLE", installation.processes())}


async def filled(installation: Installation) -> dict[int, psutil.Process]:
    give_up = time.monotonic() + 60
    while len(found := unused(installation)) < WANTED:
        assert time.monotonic() < give_up, f"only {len(found)} workers stand ready"
        await asyncio.sleep(0.2)
    return found


async def test_a_new_tenant_takes_a_worker_that_stands_ready_and_it_is_replaced(installation: Installation) -> None:
    before = await filled(installation)
    async with installation.http() as client:
        spec = {"compute": {"provider": "fake", "config": {}}}
        assert (await client.post("/tenants", json={"name": "pooled", "spec": spec})).status_code == 202
        await ready(client, "pooled")
        assert {process.pid for process in titled("ray::TenantOwner", before.values())}
        await filled(installation)
        await client.delete("/tenants/pooled")
        await gone(client, "pooled")


async def test_what_a_burst_needs_besides_comes_from_the_same_fork_server(
    installation: Installation,
) -> None:
    """Another one would import everything while they wait for it."""
    await filled(installation)
    names = [f"many-{number}" for number in range(WANTED + 3)]
    async with installation.http() as client:
        spec = {"compute": {"provider": "fake", "config": {}}}
        await asyncio.gather(*[client.post("/tenants", json={"name": name, "spec": spec}) for name in names])
        await asyncio.gather(*[ready(client, name) for name in names])
        assert len(titled("ray::TenantOwner", installation.processes())) > WANTED
        await asyncio.gather(*[client.delete(f"/tenants/{name}") for name in names])
        await asyncio.gather(*[gone(client, name) for name in names])
    await filled(installation)
    assert len(such(lambda process: FORK_SERVER in process.cmdline(), installation.processes())) == 1


async def test_killed_ones_are_replaced(installation: Installation) -> None:
    before = await filled(installation)
    kill(before.values())
    assert not before.keys() & (await filled(installation)).keys()


async def test_a_drain_ends_them_and_its_end_brings_others(installation: Installation) -> None:
    await filled(installation)
    try:
        installation.run("drain")
        give_up = time.monotonic() + 60
        while found := unused(installation):
            assert time.monotonic() < give_up, f"{len(found)} workers still stand ready"
            await asyncio.sleep(0.2)
    finally:
        installation.run("drain", "--undo")
    await filled(installation)
