"""200 tenants on Docker through a whole installation, made and deleted: nothing of ours is left."""

import asyncio
import time
from typing import Any

import docker
import httpx
import pytest

from tests.e2e.installation import Installation
from tests.e2e.test_path import docker_spec

pytestmark = [pytest.mark.long, pytest.mark.docker, pytest.mark.cluster, pytest.mark.timeout(1800)]

TENANTS = 200
PREFIX = "fleet-"
AT_ONCE = 8
"""Requests of the client."""
SECONDS = 840


async def test_200_tenants_leave_nothing(installation: Installation, web_image: str) -> None:
    """Each has a network of its own, every fourth a volume."""
    names = [f"{PREFIX}{number}" for number in range(TENANTS)]
    async with installation.http() as client:
        begun = time.monotonic()
        created = await _each(
            names,
            lambda name, n: client.post(
                "/tenants", json={"name": name, "spec": _spec(web_image, n)}, headers={"Idempotency-Key": name}
            ),
        )
        assert {answer.status_code for answer in created} == {202}
        await _until(client, "ready", TENANTS)
        all_ready = time.monotonic()
        there = {kind: len(found) for kind, found in _ours().items()}
        deleted = await _each(names, lambda name, n: client.delete(f"/tenants/{name}"))
        assert {answer.status_code for answer in deleted} == {202}
        await _until(client, None, 0)
        all_gone = time.monotonic()
    print(
        f"{TENANTS} tenants on docker: ready after {all_ready - begun:.0f} s, gone {all_gone - all_ready:.0f} s later"
    )
    assert there == {"containers": TENANTS, "volumes": TENANTS // 4, "networks": TENANTS}
    assert _ours() == {"containers": [], "volumes": [], "networks": []}
    await _all_is_well(installation)


async def _all_is_well(installation: Installation) -> None:
    """By `doctor`; the last actors are still on their way out when their tenants are gone."""
    give_up = time.monotonic() + 60
    while (found := await asyncio.to_thread(installation.run, "doctor", check=False)).returncode != 0:
        assert time.monotonic() < give_up, found.stdout
        await asyncio.sleep(1)


def _spec(image: str, number: int) -> dict[str, Any]:
    spec = docker_spec(image)
    if number % 4 == 0:
        spec["compute"]["config"]["volumes"] = ["data:/data"]
    return spec


async def _each(names: list[str], ask: Any) -> list[httpx.Response]:
    """The answers, a few requests at a time; asked again when there is too much at once."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(name: str, number: int) -> httpx.Response:
        async with slots:
            while True:
                answer: httpx.Response = await ask(name, number)
                if answer.json().get("code") not in ("overloaded", "unavailable"):
                    return answer
                await asyncio.sleep(float(answer.headers["Retry-After"]))

    return await asyncio.gather(*(one(name, number) for number, name in enumerate(names)))


async def _until(client: httpx.AsyncClient, status: str | None, count: int) -> None:
    """So many of the fleet are there, all with that status."""
    async with asyncio.timeout(SECONDS):
        while True:
            answer = await client.get("/tenants", params={"name_prefix": PREFIX, "limit": 500})
            statuses = [tenant["status"] for tenant in answer.json()["items"]]
            if len(statuses) == count and set(statuses) <= {status}:
                return
            assert "failed" not in statuses
            await asyncio.sleep(1)


def _ours() -> dict[str, list[str]]:
    """What the engine holds for the fleet, told by name or by label."""
    engine = docker.from_env()
    try:
        api = engine.api
        found = {
            "containers": [(one["Names"][0].removeprefix("/"), one["Labels"]) for one in api.containers(all=True)],
            "volumes": [(one["Name"], one["Labels"]) for one in api.volumes()["Volumes"] or ()],
            "networks": [(one["Name"], one["Labels"]) for one in api.networks()],
        }
    finally:
        engine.close()
    return {
        kind: [
            name
            for name, labels in all_of_them
            if PREFIX in name or str((labels or {}).get("landlord.tenant", "")).startswith(PREFIX)
        ]
        for kind, all_of_them in found.items()
    }
