"""What must hold after the dust has settled, whatever was done."""

import asyncio
from collections import Counter
from typing import Any

import docker
import httpx
import psutil

from controlplane.model import EventType
from tests.chaos.load import Client
from tests.e2e.installation import Installation

SETTLE_SECONDS = 120.0
ENDINGS = {f"execution.{state}" for state in ("succeeded", "failed", "cancelled", "superseded")}


async def settle(client: Client) -> dict[str, Any] | None:
    """Until the tenant is as its client was told: ready at its newest spec, or gone. Returns it when ready."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + SETTLE_SECONDS
    while True:
        body = await _seen(client)
        if client.color is None and body.get("code") in ("tenant_not_found", "tenant_deleted"):
            return None
        at_rest = body.get("status") == "ready" and body["generation"] == body["observed_generation"]
        if client.color is not None and at_rest and body["workflow"]["state"] == "succeeded":
            return body
        assert loop.time() < give_up, f"{client.name}, which should be {client.color}, stays {body}"
        await asyncio.sleep(0.2)


async def _seen(client: Client) -> dict[str, Any]:
    """What the API says of the tenant, or that it does not answer: the last fault may be still felt."""
    try:
        answer = await client.http.get(f"/tenants/{client.name}")
    except httpx.TransportError as error:
        return {"unanswered": repr(error)}
    from_us = "json" in answer.headers.get("content-type", "")
    return dict(answer.json()) if from_us else {"unanswered": answer.text}


async def check(installation: Installation, clients: list[Client], http: httpx.AsyncClient) -> None:
    """Every invariant. The message of a failure names the tenant."""
    tenants = await asyncio.gather(*(settle(client) for client in clients))
    for client, tenant in zip(clients, tenants, strict=True):
        if tenant is not None:
            await _serves_its_newest_spec(client, tenant)
        await _one_resource(client)
        await _each_ended(http, client)
        for id in client.ids:
            await _ended_once(http, id, client.name)
            await _statuses_follow(http, id, client.name)
    await _doctor_is_clean(http)


async def _serves_its_newest_spec(client: Client, tenant: dict[str, Any]) -> None:
    assert tenant["id"] == client.tenant_id, f"{client.name} is not the tenant that was acknowledged"
    assert tenant["generation"] == client.changes, f"{client.name}: {client.changes} changes were acknowledged"
    give_up = asyncio.get_running_loop().time() + SETTLE_SECONDS
    async with httpx.AsyncClient(trust_env=False, timeout=5) as direct:
        while (served := await _served(direct, tenant)) != client.color:
            # What its engine took down with itself is being started again, maybe on another port.
            assert asyncio.get_running_loop().time() < give_up, f"{client.name} serves {served!r}"
            await asyncio.sleep(0.2)
            tenant = await _seen(client)


async def _served(direct: httpx.AsyncClient, tenant: dict[str, Any]) -> str:
    endpoints = tenant.get("observed", {}).get("endpoints")
    if not endpoints:
        return f"no endpoint: {tenant}"
    try:
        return (await direct.get(endpoints[0]["url"])).text.strip()
    except httpx.TransportError as error:
        return repr(error)


async def _each_ended(http: httpx.AsyncClient, client: Client) -> None:
    """What was acknowledged with an execution id has run, or says what overtook it."""
    for id in client.executions:
        execution = (await http.get(f"/executions/{id}")).json()
        assert f"execution.{execution['state']}" in ENDINGS, f"{client.name}: {execution}"
        if execution["state"] == "superseded":
            assert execution["superseded_by"], f"{client.name}: {execution}"


async def _one_resource(client: Client) -> None:
    """Exactly one for a ready tenant and none for a deleted one, whatever ids the name ever had."""
    found = [color for color in _colors_running(client) if color.startswith(f"{client.name}-")]
    expected = [] if client.color is None else [client.color]
    give_up = asyncio.get_running_loop().time() + SETTLE_SECONDS
    while found != expected:
        # A leftover of a killed owner is the sweep's to remove.
        assert asyncio.get_running_loop().time() < give_up, f"{client.name} should run {expected}, runs {found}"
        await asyncio.sleep(0.5)
        found = [color for color in _colors_running(client) if color.startswith(f"{client.name}-")]


def _colors_running(client: Client) -> list[str]:
    """COLOR of every process (of one a tenant, its command itself) or container that exists for the client."""
    if client.provider == "docker":
        engine = docker.from_env()
        try:
            listed = (
                engine.containers.list(all=True, ignore_removed=True, filters={"label": f"landlord.tenant-id={id}"})
                for id in client.ids
            )
            containers = [container for found in listed for container in found]
            env = [entry for one in containers for entry in one.attrs["Config"]["Env"]]
        finally:
            engine.close()
        return sorted(entry.removeprefix("COLOR=") for entry in env if entry.startswith("COLOR="))
    found = []
    for process in psutil.process_iter():
        try:
            color = process.environ().get("COLOR")
        except psutil.Error:
            continue
        if color:
            found.append(color)
    return sorted(found)


async def _events(http: httpx.AsyncClient, tenant_id: str) -> list[dict[str, Any]]:
    """A tenant's trail, oldest first."""
    items: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        params = {"limit": "500", **({"cursor": cursor} if cursor else {})}
        page = (await http.get(f"/tenants/{tenant_id}/events", params=params)).json()
        items += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return items[::-1]


async def _ended_once(http: httpx.AsyncClient, tenant_id: str, name: str) -> None:
    trail = await _events(http, tenant_id)
    endings = Counter(event["execution_id"] for event in trail if event["type"] in ENDINGS)
    twice = [id for id, count in endings.items() if count > 1]
    assert not twice, f"{name}: ended twice: {twice}"
    started = Counter(event["execution_id"] for event in trail if event["type"] == EventType.EXECUTION_STARTING)
    again = [id for id, count in started.items() if count > 1]
    assert not again, f"{name}: promoted twice: {again}"


async def _statuses_follow(http: httpx.AsyncClient, tenant_id: str, name: str) -> None:
    """Each change of status begins where the last one ended: the trail has no gap and no contradiction."""
    last = "requested"
    for event in await _events(http, tenant_id):
        if event["type"] == EventType.TENANT_STATUS:
            assert event["data"]["from"] == last, f"{name}: {last} is followed by a change from {event['data']}"
            last = event["status"]


async def _doctor_is_clean(http: httpx.AsyncClient) -> None:
    give_up = asyncio.get_running_loop().time() + SETTLE_SECONDS
    while True:
        answer = await http.get("/admin/consistency")
        body = answer.json()
        if answer.status_code == 200 and body["differences"] == []:
            return
        assert asyncio.get_running_loop().time() < give_up, f"the doctor says {body}"
        await asyncio.sleep(0.5)
