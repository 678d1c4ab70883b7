"""What must hold after the dust has settled, whatever was done."""

import asyncio
from collections import Counter
from typing import Any

import docker
import httpx
import psutil

from controlplane.model import EventType
from tests.chaos.load import Client

SETTLE_SECONDS = 120.0
CHANGES = {EventType.TENANT_CREATED, EventType.TENANT_UPDATED}
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


async def _answered(http: httpx.AsyncClient, path: str, params: dict[str, str] | None = None) -> dict[str, Any]:
    """Asks again while nobody answers, or the API says that it is busy: these are many questions at once, after a
    fault."""
    give_up = asyncio.get_running_loop().time() + SETTLE_SECONDS
    while True:
        try:
            answer = await http.get(path, params=params)
        except httpx.TransportError as error:
            seen = repr(error)
        else:
            seen = answer.text
            if answer.status_code != 503:
                assert answer.status_code == 200, f"{path}: {seen}"
                return dict(answer.json())
        assert asyncio.get_running_loop().time() < give_up, f"{path}: {seen}"
        await asyncio.sleep(1)


async def check(clients: list[Client], http: httpx.AsyncClient) -> None:
    """Every invariant. The message of a failure names the tenant."""
    tenants = await asyncio.gather(*(settle(client) for client in clients))
    each = [_of_tenant(client, tenant, http) for client, tenant in zip(clients, tenants, strict=True)]
    await asyncio.gather(*each, _one_resource_each(clients))
    await _doctor_is_clean(http)


async def _of_tenant(client: Client, tenant: dict[str, Any] | None, http: httpx.AsyncClient) -> None:
    if tenant is not None:
        await _serves_its_newest_spec(client, tenant)
    await asyncio.gather(*(_ended(http, client, id) for id in client.executions))
    for id in client.ids:
        trail = await _events(http, id)
        _ended_once(trail, client.name)
        _statuses_follow(trail, client.name)


async def _serves_its_newest_spec(client: Client, tenant: dict[str, Any]) -> None:
    assert tenant["id"] == client.tenant_id, f"{client.name} is not the tenant that was acknowledged"
    if tenant["generation"] != client.changes:
        changed = [event for event in await _events(client.http, tenant["id"]) if event["type"] in CHANGES]
        raise AssertionError(f"{client.name}: {client.changes} changes were acknowledged, and these made: {changed}")
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


async def _ended(http: httpx.AsyncClient, client: Client, id: str) -> None:
    """What was acknowledged with an execution id has run, or says what overtook it."""
    execution = await _answered(http, f"/executions/{id}")
    assert f"execution.{execution['state']}" in ENDINGS, f"{client.name}: {execution}"
    if execution["state"] == "superseded":
        assert execution["superseded_by"], f"{client.name}: {execution}"


async def _one_resource_each(clients: list[Client]) -> None:
    """Exactly one for a ready tenant and none for a deleted one, whatever ids the name ever had."""
    expected = {client.name: [] if client.color is None else [client.color] for client in clients}
    give_up = asyncio.get_running_loop().time() + SETTLE_SECONDS
    while (found := await asyncio.to_thread(_colors_running, clients)) != expected:
        # A leftover of a killed owner is the sweep's to remove.
        assert asyncio.get_running_loop().time() < give_up, f"there should run {expected}, there runs {found}"
        await asyncio.sleep(0.3)


def _colors_running(clients: list[Client]) -> dict[str, list[str]]:
    """By client's name: COLOR of every process (of one a tenant, its command itself) or container that exists for
    it."""
    of_processes = _colors_of_processes()
    running = {}
    for client in clients:
        found = _colors_of_containers(client) if client.provider == "docker" else of_processes
        running[client.name] = sorted(color for color in found if color.startswith(f"{client.name}-"))
    return running


def _colors_of_containers(client: Client) -> list[str]:
    engine = docker.from_env()
    try:
        listed = (
            engine.containers.list(all=True, ignore_removed=True, filters={"label": f"landlord.tenant-id={id}"})
            for id in client.ids
        )
        env = [entry for found in listed for one in found for entry in one.attrs["Config"]["Env"]]
    finally:
        engine.close()
    return [entry.removeprefix("COLOR=") for entry in env if entry.startswith("COLOR=")]


def _colors_of_processes() -> list[str]:
    found = []
    for process in psutil.process_iter():
        try:
            color = process.environ().get("COLOR")
        except psutil.Error:
            continue
        if color:
            found.append(color)
    return found


async def _events(http: httpx.AsyncClient, tenant_id: str) -> list[dict[str, Any]]:
    """A tenant's trail, oldest first."""
    items: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        params = {"limit": "500", **({"cursor": cursor} if cursor else {})}
        page = await _answered(http, f"/tenants/{tenant_id}/events", params)
        items += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return items[::-1]


def _ended_once(trail: list[dict[str, Any]], name: str) -> None:
    endings = Counter(event["execution_id"] for event in trail if event["type"] in ENDINGS)
    twice = [id for id, count in endings.items() if count > 1]
    assert not twice, f"{name}: ended twice: {twice}"
    started = Counter(event["execution_id"] for event in trail if event["type"] == EventType.EXECUTION_STARTING)
    again = [id for id, count in started.items() if count > 1]
    assert not again, f"{name}: promoted twice: {again}"


def _statuses_follow(trail: list[dict[str, Any]], name: str) -> None:
    """Each change of status begins where the last one ended: the trail has no gap and no contradiction."""
    last = "requested"
    for event in trail:
        if event["type"] == EventType.TENANT_STATUS:
            assert event["data"]["from"] == last, f"{name}: {last} is followed by a change from {event['data']}"
            last = event["status"]


async def _doctor_is_clean(http: httpx.AsyncClient) -> None:
    give_up = asyncio.get_running_loop().time() + SETTLE_SECONDS
    while True:
        body = await _answered(http, "/admin/consistency")
        if body["differences"] == []:
            return
        assert asyncio.get_running_loop().time() < give_up, f"the doctor says {body}"
        await asyncio.sleep(0.5)
